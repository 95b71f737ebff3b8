package candles

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A line is not blank. Its number counts the blank ones too.
type line struct {
	text   string
	number int
}

// lines reads a text line by line. The end of a line is \n, \r\n or \r.
type lines struct {
	scanner *bufio.Scanner
	number  int
	cut     bool // the last line has no end
}

func newLines(r io.Reader) *lines {
	l := &lines{scanner: bufio.NewScanner(r)}
	l.scanner.Split(l.split)
	return l
}

// split is a bufio.SplitFunc.
func (l *lines) split(data []byte, atEOF bool) (advance int, token []byte, err error) {
	end := bytes.IndexAny(data, "\r\n")
	switch {
	case end < 0 && atEOF && len(data) > 0:
		l.cut = len(bytes.TrimSpace(data)) > 0
		return len(data), data, nil
	case end < 0 || end == len(data)-1 && data[end] == '\r' && !atEOF: // a \n may follow
		return 0, nil, nil
	case data[end] == '\r' && end+1 < len(data) && data[end+1] == '\n':
		return end + 2, data[:end], nil
	}
	return end + 1, data[:end], nil
}

// next returns io.EOF after the last line.
func (l *lines) next() (line, error) {
	for l.scanner.Scan() {
		l.number++
		if text := l.scanner.Text(); strings.Trim(text, " \t,;|\"") != "" {
			return line{text, l.number}, nil
		}
	}
	switch err := l.scanner.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return line{number: l.number + 1}, fmt.Errorf("the row is longer than %d bytes: want a line for each candle", bufio.MaxScanTokenSize)
	case err != nil:
		return line{number: l.number + 1}, err
	}
	return line{number: l.number}, io.EOF
}

// A separator stands between the fields of a row. The space stands for any number of spaces.
type separator byte

// separators are those that a file may have, the likeliest first.
var separators = []separator{',', ';', '\t', '|', ' '}

// split appends the fields of a row to fields. It leaves quoting to encoding/csv, one row at a time: read as a
// whole, a file with a stray quote would be one field from there to its end.
func (s separator) split(fields []string, row string) ([]string, error) {
	switch {
	case strings.Contains(row, `"`):
		r := csv.NewReader(strings.NewReader(row))
		r.Comma, r.TrimLeadingSpace = rune(s), s == ',' || s == ';'
		quoted, err := r.Read()
		return append(fields, quoted...), err
	case s == ' ':
		return append(fields, strings.Fields(row)...), nil
	}
	for field := range strings.SplitSeq(row, string(rune(s))) {
		fields = append(fields, field)
	}
	return fields, nil
}

// fieldAt returns which field of row position at is in, or the field that opened the quote it is in, with its text.
func (s separator) fieldAt(row string, at int) (column int, text string) {
	begin, quoted := 0, false
	for i := range min(at, len(row)) {
		switch {
		case row[i] == '"' && (quoted || i == begin):
			quoted = !quoted
		case row[i] == byte(s) && !quoted:
			column, begin = column+1, i+1
		}
	}
	text = row[begin:]
	if !quoted {
		text, _, _ = strings.Cut(text, string(rune(s)))
	}
	return column, text
}

// A countingReader adds what is read to n.
type countingReader struct {
	io.Reader
	n *int64
}

func (r countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	*r.n += int64(n)
	return n, err
}
