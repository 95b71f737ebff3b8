package candles

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	decimal "github.com/quagmt/udecimal"
)

// candle returns no candle, and no error, for a row without prices.
func (r *Reader) candle(row row) (c Candle, ok bool, err error) {
	if err := r.checkWidth(row); err != nil {
		return c, false, err
	}
	text := join(row.fields, r.time)
	column := r.columns.names[r.time[0]]
	if c.Time, ok = r.times.parse(text); !ok {
		return c, false, r.bad(row.line, column, text, "is not a date like the others: want the same format in every row")
	}
	at := r.columns.at
	if !slices.ContainsFunc(at[:volume], func(i int) bool { return !isMissing(row.fields[i]) }) {
		return c, false, nil
	}
	var prices [volume]decimal.Decimal
	for role, column := range at[:volume] {
		if prices[role], err = r.price(row, column); err != nil {
			return c, false, err
		}
	}
	c.Open, c.High, c.Low, c.Close = prices[open], prices[high], prices[low], prices[closing]
	if c.High.LessThan(c.Low) {
		return c, false, r.bad(row.line, r.columns.names[at[high]], row.text(at[high]), "the high is below the low, "+c.Low.String())
	}
	if at[volume] >= 0 {
		c.Volume = r.numbers.volume(row.text(at[volume]))
	}
	if err := r.checkOrder(row, c, text); err != nil {
		return c, false, err
	}
	r.last, r.lastText = c.Time, text
	return c, true, r.checkRange(row, c)
}

// text returns the field in a column, without the space around it.
func (r row) text(column int) string { return strings.TrimSpace(r.fields[column]) }

func (r *Reader) price(row row, column int) (decimal.Decimal, error) {
	text := row.text(column)
	n, err := r.numbers.parse(text)
	switch name := r.columns.names[column]; {
	case errors.Is(err, decimal.ErrPrecOutOfRange), n.Prec() > r.options.Digits:
		return n, r.bad(row.line, name, text, fmt.Sprintf("has more than %d digits after the point", r.options.Digits))
	case err != nil:
		return n, r.bad(row.line, name, text, err.Error())
	case !n.IsPos():
		return n, r.bad(row.line, name, text, "a price must be more than 0")
	}
	return n, nil
}
