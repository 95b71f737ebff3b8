package candles

import (
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	decimal "github.com/quagmt/udecimal"
)

// dateLayouts are written for package time. Where the order of a date is one of several, order says which, as
// option -dates does.
var dateLayouts = []struct{ layout, order string }{
	{"2006-1-2", ""}, {"2006/1/2", ""}, {"2006.1.2", ""}, {"20060102", ""},
	{"1/2/2006", "mdy"}, {"2/1/2006", "dmy"}, {"1/2/06", "mdy"}, {"2/1/06", "dmy"}, {"06/1/2", "ymd"},
	{"1-2-2006", "mdy"}, {"2-1-2006", "dmy"}, {"1-2-06", "mdy"}, {"2-1-06", "dmy"}, {"06-1-2", "ymd"},
	{"2.1.2006", "dmy"}, {"2.1.06", "dmy"}, {"06.1.2", "ymd"},
	{"Jan 2, 2006", ""}, {"January 2, 2006", ""}, {"Jan 2 2006", ""}, {"January 2 2006", ""}, {"Monday, January 2, 2006", ""}, {"Mon Jan 2 2006", ""}, {"Mon, Jan 2, 2006", ""},
	{"2 Jan 2006", ""}, {"2 January 2006", ""}, {"2-Jan-2006", ""}, {"02Jan2006", ""}, {"Mon, 2 Jan 2006", ""},
	{"2-Jan-06", "dmy"}, {"06-Jan-2", "ymd"}, {"2006-Jan-2", ""}, {"2006 Jan 2", ""}, {"2006-1", ""}, {"Jan 2006", ""},
}

// clockLayouts follow a date. A fraction of a second needs no layout of its own.
var clockLayouts = []string{
	"", " 15:04:05", " 15:04", "T15:04:05", "T15:04", ", 15:04:05", ", 15:04", " 150405", " 1504", "150405", "1504", "15",
	" 3:04:05 PM", " 3:04 PM", " 3:04:05PM", " 3:04PM", ", 3:04:05 PM", " 03-PM", "T150405",
}

// zoneLayouts follow a time of day. A zone's name other than UTC and GMT is none: what EST means depends on who writes it.
var zoneLayouts = []string{"", "Z07:00", "Z0700", "Z07", " Z07:00", " Z0700", " Z", " UTC", " GMT", "GMT", " GMT-0700"}

// A timeLayout reads the time of a row.
type timeLayout struct {
	layout string // of package time; empty for Unix time
	order  string
}

func (l timeLayout) parse(text string) (t time.Time, ok bool) {
	if l.layout == "" {
		n, err := decimal.Parse(strings.TrimSuffix(text, ".")) // of seconds 1577836800.25 is possible
		if err != nil {
			return t, false
		}
		t, ok = unixTime(n)
		return t, ok && t.Year() >= 1 && t.Year() <= 9999
	}
	t, err := time.Parse(l.layout, text)
	return t.UTC(), err == nil && t.Year() >= 1
}

// unixTime tells seconds, milliseconds, microseconds and nanoseconds apart by their size, row by row, because the
// files of one market change from one to the other. 1e11 is a time in the year 5138 as seconds and in 1973 as
// milliseconds, and so on.
func unixTime(n decimal.Decimal) (t time.Time, ok bool) {
	whole, err := n.Trunc(0).Int64()
	if err != nil {
		return t, false
	}
	unit := time.Second
	for size := whole / 1e11; size != 0 && unit > 1; size /= 1000 {
		unit /= 1000
	}
	perSecond := int64(time.Second / unit)
	fraction, err := n.Sub(n.Trunc(0)).Mul64(uint64(unit)).Trunc(0).Int64()
	return time.Unix(whole/perSecond, whole%perSecond*int64(unit)+fraction).UTC(), err == nil
}

// shape brings texts that can have the same layout together: a word is one letter and a number one digit.
func shape(text string) string {
	var b strings.Builder
	last := rune(-1)
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9':
			c = '0'
		case unicode.IsLetter(c):
			c = 'a'
		}
		if c != last || c != '0' && c != 'a' {
			b.WriteRune(c)
		}
		last = c
	}
	return strings.NewReplacer("0:0:0.0", "0:0:0", "0:0:0,0", "0:0:0", "0a0.0", "0a0", "0 0.0", "0 0").Replace(b.String())
}

// layoutsByShape has every layout under the shapes of the times that it writes.
var layoutsByShape = sync.OnceValue(func() map[string][]timeLayout {
	layouts := map[string][]timeLayout{}
	for _, date := range dateLayouts {
		for i, clock := range clockLayouts {
			for j, zone := range zoneLayouts {
				if i == 0 && j > 0 || strings.HasPrefix(clock, "15") && date.layout != "20060102" {
					continue // only a time of day has a zone, and only 20060102 needs nothing between date and time
				}
				l := timeLayout{date.layout + clock + zone, date.order}
				for _, hours := range []int{0, 1, -1} {
					example := time.Unix(0, 0).In(time.FixedZone("", hours*3600)).Format(l.layout)
					if s := shape(example); !slices.Contains(layouts[s], l) {
						layouts[s] = append(layouts[s], l)
					}
				}
			}
		}
	}
	return layouts
})

// layoutsOf returns the layouts that fit the first time of a file. In place of a time, numbers can be days of a
// spreadsheet, numbers of rows and dates such as 20240102. So a number is a date if it is one from 1800 to 2100,
// and Unix time if it is not as near to 1970 as ten years.
func layoutsOf(text, order string) (fit []timeLayout) {
	_, err := decimal.Parse(text)
	number := err == nil
	for _, l := range append([]timeLayout{{}}, layoutsByShape()[shape(text)]...) {
		t, ok := l.parse(text)
		switch year := t.Year(); {
		case !ok, number && (year < 1800 || year > 2100), l.layout == "" && year >= 1960 && year < 1980:
		case l.order == "" || order == "" || l.order == order:
			fit = append(fit, l)
		}
	}
	return fit
}

// wantedDate says why layoutsOf finds none.
func wantedDate(text string) string {
	const want = "want 2006-01-02, 2006-01-02 15:04:05, 2006-01-02T15:04:05Z or Unix seconds, milliseconds or microseconds"
	if n, err := decimal.Parse(text); err == nil {
		days, _ := n.Trunc(0).Int64()
		if days > 20_000 && days < 80_000 {
			return "is not a plausible Unix time, and may be the day number of a spreadsheet: give the column a date format there; " + want
		}
		return "is not a plausible Unix time: " + want
	}
	return "is not a date: " + want
}

// clock completes times of day such as 931, which spreadsheets make of 0931.
func clock(text string) string {
	if n := len(text); (n == 3 || n == 5) && strings.Trim(text, "0123456789") == "" {
		return "0" + text
	}
	return text
}
