package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A table is written as Markdown whose columns line up, so that it reads as well in a terminal. The first row is the
// head; the first column is set to the left and figures to the right.
type table struct{ rows [][]string }

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// empty reports whether there is nothing below the head.
func (t *table) empty() bool { return len(t.rows) < 2 }

// write writes the table and an empty line, or nothing if the table is empty.
func (t *table) write(w io.Writer) {
	if t.empty() {
		return
	}
	widths := t.widths()
	t.writeRow(w, t.rows[0], widths)
	rule := make([]string, len(widths))
	for i, width := range widths {
		rule[i] = strings.Repeat("-", width-1) + ":"
	}
	rule[0] = strings.Repeat("-", widths[0])
	t.writeRow(w, rule, widths)
	for _, row := range t.rows[1:] {
		t.writeRow(w, row, widths)
	}
	fmt.Fprintln(w)
}

func (t *table) widths() []int {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell), 3)
		}
	}
	return widths
}

func (t *table) writeRow(w io.Writer, cells []string, widths []int) {
	for i, cell := range cells {
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if i == 0 {
			fmt.Fprint(w, "| ", cell, pad, " |")
		} else {
			fmt.Fprint(w, " ", pad, cell, " |")
		}
	}
	fmt.Fprintln(w)
}

// ns prints nanoseconds, with a digit more where a whole one would be much of it.
func ns(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	return grouped(math.Round(v))
}

// ms prints nanoseconds as milliseconds.
func ms(v float64) string { return fmt.Sprintf("%.2f", v/1e6) }

// grouped prints a whole number with commas between thousands, and any other as it is.
func grouped(v float64) string {
	digits := strconv.FormatFloat(v, 'f', -1, 64)
	whole, fraction, _ := strings.Cut(digits, ".")
	if fraction != "" {
		return digits
	}
	for at := len(whole) - 3; at > 0; at -= 3 {
		whole = whole[:at] + "," + whole[at:]
	}
	return whole
}

// perSecond prints a rate to three digits, which is more than it repeats.
func perSecond(v float64) string {
	unit := math.Pow(10, math.Floor(math.Log10(v))-2)
	return grouped(math.Round(v/unit) * unit)
}

func ratio(v float64) string { return fmt.Sprintf("%.2f", v) }

// middleHalf prints the quartiles of ratios.
func middleHalf(rs []float64) string {
	return ratio(quantile(rs, 0.25)) + " … " + ratio(quantile(rs, 0.75))
}

// count prints a number of things an event, to a thousandth: an allocation among many events shows as 0.001.
func count(v float64) string { return fmt.Sprintf("%.3f", v) }

func kib(bytes float64) string { return fmt.Sprintf("%.1f", bytes/1024) }

// writeLoose writes a table of words, whose cells are too long to line up.
func (t *table) writeLoose(w io.Writer) {
	for i, row := range t.rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintln(w, "|"+strings.Repeat(" --- |", len(row)))
		}
	}
	fmt.Fprintln(w)
}
