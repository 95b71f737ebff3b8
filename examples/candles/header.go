package candles

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// findHeader finds the columns by the first line that names them, or else by the types of the first row.
func (r *Reader) findHeader() error {
	var nearest *missingColumns
	nearestAt := 0
	for at, l := range r.ahead {
		for _, s := range separators {
			fields, err := s.split(nil, l.text)
			if err != nil {
				continue
			}
			_, err = findColumns(fields, func(int) bool { return true })
			var missing *missingColumns
			if !errors.As(err, &missing) || len(missing.names) == 1 && missing.names[0] == "date" && r.dateBelow(s, at) {
				r.separator = s
				return r.readHeader(at, fields)
			}
			if nearest == nil || len(missing.names) < len(nearest.names) {
				nearest, nearestAt = missing, at
			}
		}
	}
	first := r.ahead[0]
	for _, s := range separators {
		fields, err := s.split(nil, first.text)
		if c, ok := guessColumns(fields); ok && err == nil {
			r.separator, r.columns, r.guessed = s, c, true
			return nil
		}
	}
	if r.failed != nil {
		return r.badLine(r.failedAt, r.failed)
	}
	if strings.ContainsRune(first.text, 0) {
		return fmt.Errorf("%s: is no text: want CSV", r.name)
	}
	if nearest == nil { // quotes are broken everywhere
		_, err := separators[0].split(nil, first.text)
		return r.badQuotes(first, err)
	}
	return fmt.Errorf("%s:%d: %w", r.name, r.ahead[nearestAt].number, nearest)
}

// readHeader takes the header off r.ahead with the lines that belong to it: the instruments before or after it, and
// the name of the first column alone.
func (r *Reader) readHeader(at int, header []string) (err error) {
	var tickers []string
	if at > 0 {
		above, _ := r.separator.split(nil, r.ahead[at-1].text)
		if len(above) == len(header) && simple(above[0]) == "ticker" {
			tickers = above
		}
	}
	number := r.ahead[at].number
	r.ahead = r.ahead[at+1:]
	for range 2 {
		fields, ok := r.headerBelow()
		if !ok || len(fields) != len(header) {
			break
		}
		switch first := simple(fields[0]); {
		case len(fields) > 1 && fields[1] != "" && (first == "" || first == "ticker" || first == "symbol"):
			tickers = fields
		case slices.Contains(timeNames, first):
			header[0] = fields[0]
		}
		r.LeftOut++
		r.ahead = r.ahead[1:]
	}
	ours := func(int) bool { return true }
	if tickers != nil {
		if err := r.chooseTicker(number, tickers[1:]); err != nil {
			return err
		}
		ours = func(i int) bool {
			return i == 0 || r.options.Symbol == "" || strings.EqualFold(tickers[i], r.options.Symbol)
		}
	}
	if r.columns, err = findColumns(header, ours); err != nil {
		return fmt.Errorf("%s:%d: %w", r.name, number, err)
	}
	r.chosen = tickers != nil
	return nil
}

// headerBelow returns the first line ahead if nothing in it is a number or a date.
func (r *Reader) headerBelow() (fields []string, ok bool) {
	if len(r.ahead) == 0 {
		return nil, false
	}
	fields, err := r.separator.split(nil, r.ahead[0].text)
	for _, field := range fields {
		field = strings.TrimSpace(field)
		if _, err := numberStyles[0].parse(field); err == nil || len(layoutsOf(field, "")) > 0 {
			return nil, false
		}
	}
	return fields, err == nil
}

// dateBelow says whether one of the two lines below a header names the date.
func (r *Reader) dateBelow(s separator, at int) bool {
	for _, l := range r.ahead[min(at+1, len(r.ahead)):min(at+3, len(r.ahead))] {
		fields, err := s.split(nil, l.text)
		if name := simple(fields[0]); err == nil && name != "" && slices.Contains(timeNames, name) {
			return true
		}
	}
	return false
}
