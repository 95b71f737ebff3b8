package candles

import (
	"fmt"
	"slices"
	"strings"
)

// instruments lets one instrument of a file through.
type instruments struct {
	column int    // that names the instrument; -1: none does
	want   string // empty: the file has one
	seen   []string
}

const remembered = 1000 // so many instruments are counted, and more are not

// findSymbol finds the column of instruments. Option Symbol is the name of one, or column=name.
func (r *Reader) findSymbol() error {
	r.instruments = instruments{column: r.columns.at[symbol], want: r.options.Symbol}
	if r.chosen {
		r.instruments = instruments{column: -1}
		return nil
	}
	if column, want, found := strings.Cut(r.options.Symbol, "="); found {
		r.instruments = instruments{column: slices.Index(r.columns.names, simple(column)), want: want}
	}
	if r.instruments.column < 0 && r.options.Symbol != "" {
		return fmt.Errorf("%s: -symbol %s: no column names the instrument: want one of %s, or say -symbol COLUMN=VALUE",
			r.name, r.options.Symbol, strings.Join(r.columns.names, ", "))
	}
	return nil
}

// wanted says whether a line is of the instrument that is wanted. It takes lines that it cannot split.
func (r *Reader) wanted(text string) bool {
	if r.instruments.column < 0 {
		return true
	}
	fields, err := r.separator.split(r.scratch[:0], text)
	r.scratch = fields
	if err != nil || r.instruments.column >= len(fields) {
		return true
	}
	return r.instruments.take(strings.TrimSpace(fields[r.instruments.column]))
}

// take remembers the name and says whether it is the one that is wanted.
func (s *instruments) take(name string) bool {
	if len(s.seen) < remembered && !slices.Contains(s.seen, name) {
		s.seen = append(s.seen, strings.Clone(name))
	}
	return s.want == "" || strings.EqualFold(name, s.want)
}

// checkSymbols refuses several instruments of which none is chosen.
func (r *Reader) checkSymbols() error {
	if s := r.instruments; s.want == "" && len(s.seen) > 1 {
		return fmt.Errorf("%s: column %s holds %d instruments in the first rows: %s: choose one with -symbol %s, or keep one instrument a file",
			r.name, r.columns.names[s.column], len(s.seen), firstOf(s.seen), s.seen[0])
	}
	return nil
}

// chooseTicker refuses a header with several instruments side by side unless one of them is chosen.
func (r *Reader) chooseTicker(number int, tickers []string) error {
	var distinct []string
	for _, t := range tickers {
		if !slices.Contains(distinct, t) {
			distinct = append(distinct, t)
		}
	}
	want := r.options.Symbol
	switch found := slices.ContainsFunc(distinct, func(t string) bool { return strings.EqualFold(t, want) }); {
	case want == "" && len(distinct) > 1:
		return fmt.Errorf("%s:%d: the header holds %d instruments: %s: choose one with -symbol %s",
			r.name, number, len(distinct), firstOf(distinct), distinct[0])
	case want != "" && !found:
		return fmt.Errorf("%s:%d: -symbol %s: the header has no such instrument: want one of %s", r.name, number, want, firstOf(distinct))
	}
	return nil
}

// noRows says why there is no candle.
func (r *Reader) noRows() error {
	if s := r.instruments; s.want != "" {
		return fmt.Errorf("%s: -symbol %s: column %s has no such instrument: want one of %s", r.name, s.want, r.columns.names[s.column], firstOf(s.seen))
	}
	return fmt.Errorf("%s: has a header and no candles: want a row for each, on a line of its own", r.name)
}

// checkRepeated refuses a second row for the same time that a text tells from the first: such rows are of several
// instruments, or of several periods.
func (r *Reader) checkRepeated(before []string, now row) error {
	if r.options.Symbol != "" {
		return nil
	}
	for i, field := range now.fields[:len(r.columns.names)] {
		if field == before[i] || slices.Contains(r.time, i) || isMissing(field) || isMissing(before[i]) {
			continue
		}
		if _, err := r.numbers.parse(strings.TrimSpace(field)); err != nil {
			name := r.columns.names[i]
			return r.bad(now.line, name, field, fmt.Sprintf("the row before has the same time and %q: choose one of them with -symbol %q",
				before[i], name+"="+strings.TrimSpace(before[i])))
		}
	}
	return nil
}

// refuseRepeated refuses a file with two rows and more for most times.
func (r *Reader) refuseRepeated(rows []row) error {
	for i, now := range rows[1:] {
		text := join(now.fields, r.time)
		if text != join(rows[i].fields, r.time) {
			continue
		}
		if err := r.checkRepeated(rows[i].fields, now); err != nil {
			return err
		}
		return r.bad(now.line, r.columns.names[r.time[0]], text,
			"most rows have the time of the row before: want one instrument, one period, and one row for each time")
	}
	return nil
}
