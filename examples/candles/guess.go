package candles

import (
	"fmt"
	"slices"
	"strings"
)

// guessColumns tells the columns of a row without a header: a date, perhaps a time of day, four prices that can be
// open, high, low and close, and perhaps a volume. A text before the date is the instrument.
func guessColumns(row []string) (c columns, ok bool) {
	c.at[symbol], c.at[volume] = -1, -1
	for i := range row {
		c.names = append(c.names, fmt.Sprint("column ", i+1))
	}
	date := slices.IndexFunc(row, func(s string) bool { return len(layoutsOf(strings.TrimSpace(s), "")) > 0 })
	if date < 0 || date+4 >= len(row) {
		return c, false
	}
	c.times = [][]int{{date}}
	first := date + 1
	if joined := join(row, []int{date, date + 1}); len(layoutsOf(joined, "")) > 0 {
		c.times, first = [][]int{{date, date + 1}}, date+2
	}
	if date > 0 {
		if _, err := numberStyles[0].parse(row[0]); err != nil {
			c.at[symbol] = 0
		}
	}
	for i, name := range []string{"open", "high", "low", "close"} {
		if first+i >= len(row) {
			return c, false
		}
		c.at[i], c.names[first+i] = first+i, name
		if _, err := numberStyles[0].parse(strings.TrimSpace(row[first+i])); err != nil {
			if _, err := numberStyles[1].parse(strings.TrimSpace(row[first+i])); err != nil {
				return c, false
			}
		}
	}
	if first+4 < len(row) {
		c.at[volume], c.names[first+4] = first+4, "volume"
	}
	c.names[date] = "date"
	return c, true
}

// join is the text of the time in a row.
func join(row []string, columns []int) string {
	text := row[columns[0]]
	if len(columns) > 1 {
		text += " " + clock(strings.TrimSpace(row[columns[1]]))
	}
	if text = strings.TrimSpace(text); strings.Contains(text, "  ") {
		text = strings.Join(strings.Fields(text), " ")
	}
	return text
}
