package candles

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// timeColumns are columns that tell the time of a row, with every layout that fits.
type timeColumns struct {
	columns  []int
	layouts  []timeLayout
	times    [][]time.Time // by layout
	distinct int           // how many rows differ from the one before
}

func tryTimes(rows []row, columns []int, order string) timeColumns {
	c := timeColumns{columns: columns}
	for i, row := range rows {
		text := join(row.fields, columns)
		if i == 0 {
			c.layouts = layoutsOf(text, order)
		}
		fit := slices.DeleteFunc(slices.Clone(c.layouts), func(l timeLayout) bool {
			_, ok := l.parse(text)
			return !ok
		})
		if len(fit) == 0 {
			break // the row is bad, and reported when its turn comes
		}
		c.layouts = fit
		if i == 0 || text != join(rows[i-1].fields, columns) {
			c.distinct++
		}
	}
	for _, l := range c.layouts {
		var times []time.Time
		for _, row := range rows {
			if t, ok := l.parse(join(row.fields, columns)); ok {
				times = append(times, t)
			}
		}
		c.times = append(c.times, times)
	}
	c.dropEqual()
	return c
}

// dropEqual keeps one of the layouts that give the same times.
func (c *timeColumns) dropEqual() {
	for i := len(c.times) - 1; i > 0; i-- {
		for _, times := range c.times[:i] {
			if slices.EqualFunc(times, c.times[i], time.Time.Equal) {
				c.times, c.layouts = slices.Delete(c.times, i, i+1), slices.Delete(c.layouts, i, i+1)
				break
			}
		}
	}
}

// keep drops the layouts whose times are implausible, unless all are.
func (c *timeColumns) keep(plausible func([]time.Time) bool) (dropped bool) {
	var layouts []timeLayout
	var times [][]time.Time
	for i, t := range c.times {
		if plausible(t) {
			layouts, times = append(layouts, c.layouts[i]), append(times, t)
		}
	}
	if len(layouts) == 0 || len(layouts) == len(c.layouts) {
		return false
	}
	c.layouts, c.times = layouts, times
	return true
}

// ordered says whether the oldest or the newest candle is the first.
func ordered(times []time.Time) bool {
	return slices.IsSortedFunc(times, time.Time.Compare) ||
		slices.IsSortedFunc(times, func(a, b time.Time) int { return b.Compare(a) })
}

// onWeekdays says whether no candle falls on a weekend, and no other layout makes the file shorter: only together
// they tell, since some markets trade on weekends.
func (c *timeColumns) onWeekdays(times []time.Time) bool {
	span := func(times []time.Time) time.Duration { return times[len(times)-1].Sub(times[0]).Abs() }
	return !slices.ContainsFunc(times, func(t time.Time) bool {
		return t.Weekday() == time.Saturday || t.Weekday() == time.Sunday
	}) && !slices.ContainsFunc(c.times, func(other []time.Time) bool { return span(other) < span(times) })
}

func newestFirst(times []time.Time) bool { return times[len(times)-1].Before(times[0]) }

// choice says what the first time can be and how to choose.
func (c *timeColumns) choice() string {
	var can, orders []string
	for i, l := range c.layouts {
		can = append(can, c.times[i][0].Format(time.RFC3339))
		if l.order != "" && !slices.Contains(orders, l.order) {
			orders = append(orders, l.order)
		}
	}
	if len(orders) < 2 {
		return fmt.Sprintf("can be %s: write it as 2006-01-02 15:04:05", strings.Join(can, " or "))
	}
	return fmt.Sprintf("can be %s, and no row tells the order of day and month: say which with -dates %s",
		strings.Join(can, " or "), strings.Join(orders, " or -dates "))
}

// decideTimes chooses the columns whose times differ most, and of equal ones a date with a time of day, so that no
// date beside a time of day is taken alone.
func (r *Reader) decideTimes(rows []row) error {
	var best timeColumns
	clock := -1 // a column of times of day that cannot be read
	joinedFirst := slices.SortedStableFunc(slices.Values(r.columns.times), func(a, b []int) int { return len(b) - len(a) })
	for _, columns := range joinedFirst {
		c := tryTimes(rows, columns, r.options.Dates)
		if len(c.layouts) == 0 && len(columns) > 1 {
			clock = columns[1]
		}
		if c.distinct > best.distinct {
			best = c
		}
	}
	first := rows[0]
	if best.distinct == 0 {
		column := r.columns.times[0]
		text := join(first.fields, column)
		return r.bad(first.line, r.columns.names[column[0]], text, wantedDate(text))
	}
	if clock >= 0 && len(best.columns) == 1 && best.columns[0] != clock && best.distinct < len(rows) {
		return r.bad(first.line, r.columns.names[clock], strings.TrimSpace(first.fields[clock]),
			"is not a time of day: want 15:04, 15:04:05 or 1504")
	}
	best.keep(ordered)
	text := join(first.fields, best.columns)
	if best.keep(best.onWeekdays) && len(best.layouts) == 1 {
		r.note("%q in line %d is read as %s: read otherwise, candles fall on weekends; -dates mdy or -dates dmy says how to read it",
			text, first.number, best.times[0][0].Format("2 January 2006"))
	}
	if len(best.layouts) > 1 {
		return r.bad(first.line, r.columns.names[best.columns[0]], text, best.choice())
	}
	r.time, r.times, r.newestFirst = best.columns, best.layouts[0], newestFirst(best.times[0])
	if len(rows) > 3 && best.distinct*2 <= len(best.times[0]) {
		return r.refuseRepeated(rows)
	}
	return nil
}
