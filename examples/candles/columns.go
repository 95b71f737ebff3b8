package candles

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const wantedColumns = "a header with the columns date, open, high, low and close (volume is optional), " +
	"or rows of date, open, high, low and close without a header"

// A role is what a column is for. In a file that has several columns for a role, the first of its names wins.
type role int

const (
	open role = iota
	high
	low
	closing
	volume
	symbol
	roles
)

// roleNames are the names of columns as simple makes them.
var roleNames = [roles][]string{
	open: {"open", "o", "open price", "opening price", "opening", "bidopen", "bid open", "first",
		"apertura", "eröffnung", "eröffn.", "erster", "ouverture", "ouv.", "abertura", "开盘", "开盘价", "始値"},
	high: {"high", "h", "high price", "highest", "max", "bidhigh", "bid high",
		"máximo", "hoch", "tageshoch", "plus haut", "+ haut", "máxima", "最高", "最高价", "高値"},
	low: {"low", "l", "low price", "lowest", "min", "bidlow", "bid low",
		"mínimo", "tief", "tagestief", "plus bas", "+ bas", "mínima", "最低", "最低价", "安値"},
	closing: {"close", "c", "close price", "closing price", "close/last", "closing", "last", "last price", "price", "settle", "bidclose", "bid close",
		"último", "cierre", "zuletzt", "schluss", "schlusskurs", "clôture", "dernier", "fechamento", "收盘", "收盘价", "終値"},
	volume: {"volume", "vol", "vol.", "v", "tickvol", "tick volume", "tickvolume", "real volume", "total volume", "volumen", "stück", "成交量", "出来高"},
	symbol: {"symbol", "ticker", "tic", "sym", "instrument", "ts code", "isin", "secid", "security", "asset", "coin", "pair", "market", "contract",
		"code", "stock", "company", "currency", "name", "股票代码"},
}

// timeNames are columns that can tell the time, the likeliest first. The date of a row can be in one and its time of
// day in another.
var (
	timeNames = []string{"date", "datetime", "date time", "day", "trade date", "open time", "opentime", "timeopen", "timestamp", "timestamp utc",
		"time", "gmt time", "utc time", "local time", "utc", "unix", "unix time", "unix timestamp", "epoch", "t", "ts", "bar time", "start",
		"start time", "begin", "period", "month", "week", "datum", "fecha", "data", "dtyyyymmdd", "日期", "日付", ""}
	clockNames = []string{"time", "bar time", "time of day", "hour", "uhrzeit", "hora", "heure"}
)

// columns says where a file keeps what.
type columns struct {
	names []string // of all columns, for errors
	at    [roles]int
	times [][]int // of each, the columns to join with a space
}

var (
	aside  = regexp.MustCompile(`\(.*\)|^[0-9]+[ab]?\. |^24h `) // of 1a. open (USD)
	beside = strings.NewReplacer("<", "", ">", "", "#", "", "_", " ", "\ufeff", "")
)

// simple brings the name of a column into the form of roleNames.
func simple(name string) string {
	name = strings.ToLower(strings.TrimSpace(beside.Replace(name)))
	name = strings.TrimSpace(aside.ReplaceAllString(name, ""))
	if dot := strings.LastIndexByte(name, '.'); dot > 0 && dot+1 < len(name) && name[dot+1] != ' ' { // of AB.Open
		return name[dot+1:]
	}
	return name
}

// findColumns looks for the columns in a header. Of several instruments side by side, ours tells which columns
// belong to the one that is wanted.
func findColumns(header []string, ours func(column int) bool) (c columns, err error) {
	for _, name := range header {
		c.names = append(c.names, simple(name))
	}
	find := func(names []string) int {
		for _, name := range names {
			for i, found := range c.names {
				if found != name || !ours(i) {
					continue
				}
				for j := i + 1; j < len(c.names) && name != ""; j++ {
					if c.names[j] == name && ours(j) {
						err = fmt.Errorf("the header has two columns %s", name)
					}
				}
				return i
			}
		}
		return -1
	}
	var missing []string
	for _, name := range timeNames {
		if i := find([]string{name}); i >= 0 && (name != "" || i == 0) {
			c.times = append(c.times, []int{i})
		}
	}
	if clock := find(clockNames); clock >= 0 {
		for _, date := range slices.Clone(c.times) {
			if date[0] != clock {
				c.times = append(c.times, []int{date[0], clock})
			}
		}
	}
	if len(c.times) == 0 {
		missing = append(missing, "date")
	}
	for r := range roles {
		if c.at[r] = find(roleNames[r]); c.at[r] < 0 && r < volume {
			missing = append(missing, roleNames[r][0])
		}
	}
	if c.at[volume] < 0 {
		c.at[volume] = slices.IndexFunc(c.names, func(name string) bool { return strings.HasPrefix(name, "volume") })
	}
	if len(missing) > 0 {
		return c, &missingColumns{missing, header}
	}
	return c, err
}

// missingColumns is what a row lacks to be a header.
type missingColumns struct {
	names  []string
	header []string
}

func (e *missingColumns) Error() string {
	const shown = 300
	row := fmt.Sprintf("%q", e.header)
	if len(row) > shown {
		row = strings.ToValidUTF8(row[:shown], "") + "..."
	}
	return fmt.Sprintf("no column %s in the first row %s: want %s", strings.Join(e.names, ", "), row, wantedColumns)
}
