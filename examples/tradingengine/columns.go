package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const wantedColumns = "a header with the columns date, open, high, low and close (volume is optional), " +
	"or a Binance kline file without header"

// columns says where a file keeps what.
type columns struct {
	names                                []string // of all columns, for errors
	time, open, high, low, close, volume int      // volume is -1 when there is none
}

// A kline file of Binance's public data has no header and these columns.
// Its open time is in milliseconds, from 2025 on in microseconds for the spot market.
var klineColumns = columns{
	names: []string{"open time", "open", "high", "low", "close", "volume", "close time", "quote volume",
		"trades", "taker base volume", "taker quote volume", "ignore"},
	time: 0, open: 1, high: 2, low: 3, close: 4, volume: 5,
}

// findColumns tells from the first row of a file where its columns are, and whether that row is a header.
func findColumns(row []string) (c columns, header bool, err error) {
	if _, err := strconv.ParseInt(strings.TrimSpace(row[0]), 10, 64); err == nil && len(row) == len(klineColumns.names) {
		return klineColumns, false, nil
	}
	for _, field := range row {
		c.names = append(c.names, strings.ToLower(strings.TrimSpace(field)))
	}
	var missing []string
	find := func(names ...string) int {
		for _, name := range names {
			i := slices.Index(c.names, name)
			if i < 0 {
				continue
			}
			if slices.Contains(c.names[i+1:], name) && err == nil {
				err = fmt.Errorf("the header has two columns %s", name)
			}
			return i
		}
		missing = append(missing, names[0])
		return -1
	}
	c.time = find("date", "time", "datetime", "timestamp", "open time", "open_time")
	c.open, c.high, c.low, c.close = find("open"), find("high"), find("low"), find("close")
	if len(missing) > 0 && err == nil {
		err = fmt.Errorf("no column %s in the first row %q: want %s", strings.Join(missing, ", "), row, wantedColumns)
	}
	c.volume = find("volume")
	return c, true, err
}

// parseTime understands 2006-01-02, RFC 3339 and Unix time as an integer, in the years 1 to 9999: a number beyond
// them is a mistake, or in nanoseconds.
func parseTime(s string) (t time.Time, ok bool) {
	var err error
	switch {
	case strings.LastIndexByte(s, '-') <= 0: // no date, at most a negative number
		var n int64
		n, err = strconv.ParseInt(s, 10, 64)
		t = unixTime(n)
	case len(s) == len(time.DateOnly):
		t, err = time.Parse(time.DateOnly, s)
	default:
		t, err = time.Parse(time.RFC3339, s)
	}
	return t, err == nil && t.Year() >= 1 && t.Year() <= 9999
}

// unixTime tells seconds, milliseconds and microseconds apart by their size, row by row, because the files of one
// market change from one to the other. 1e11 is a time in the year 5138 as seconds and in 1973 as milliseconds,
// 1e14 in 5138 as milliseconds and in 1973 as microseconds.
func unixTime(n int64) time.Time {
	switch {
	case -1e11 < n && n < 1e11:
		return time.Unix(n, 0).UTC()
	case -1e14 < n && n < 1e14:
		return time.UnixMilli(n).UTC()
	default:
		return time.UnixMicro(n).UTC()
	}
}
