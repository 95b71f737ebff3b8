package journal

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/eventbus-go/eventbus"
)

// A cursor reads a line as appendRecord writes it, field after field. Once something else is
// met it has failed, and encoding/json reads the line instead: it takes four times as long.
type cursor struct {
	rest   []byte
	failed bool
}

// parseRecord returns the record of a line, and false if encoding/json must read it.
func parseRecord(b []byte) (r Record, ok bool) {
	c := cursor{rest: b}
	c.expect(`{"n":`)
	r.N = c.number()
	c.expect(`,"session":`)
	r.Session = c.number()
	r.Queue, r.Seq = c.place(`,"queue":"`)
	c.expect(`,"type":"`)
	r.Type = eventbus.EventType(c.text())
	if c.has(`,"source":"`) {
		r.Source = c.text()
	}
	c.expect(`,"time":`)
	r.Time = c.integer()
	if c.has(`,"cause":{"queue":"`) {
		r.Cause = c.cause()
	}
	if c.has(`,"error":"`) {
		r.Error = c.text()
	}
	if c.has(`,"data":`) { // the last field: it is the rest but for the brace
		end := len(c.rest) - 1
		if end < 1 || !json.Valid(c.rest[:end]) {
			return r, false
		}
		r.Data, c.rest = bytes.Clone(c.rest[:end]), c.rest[end:]
	}
	c.expect("}")
	return r, !c.failed && len(c.rest) == 0
}

// cause reads a cause behind `{"queue":"`.
func (c *cursor) cause() *Cause {
	cause := new(Cause)
	cause.Queue, cause.Seq = c.place("")
	root := &cause.Root
	root.Queue, root.Seq = c.place(`,"root":{"queue":"`)
	c.expect(`,"type":"`)
	root.Type = eventbus.EventType(c.text())
	c.expect(`,"time":`)
	root.Time = c.integer()
	c.expect(`},"hops":`)
	cause.Hops = int(c.number())
	c.expect("}")
	return cause
}

// place reads a queue and a number behind key.
func (c *cursor) place(key string) (q eventbus.Queue, seq uint64) {
	c.expect(key)
	if err := q.UnmarshalText([]byte(c.text())); err != nil {
		c.failed = true
	}
	c.expect(`,"seq":`)
	return q, c.number()
}

// has reads s if it comes next, and reports whether it did.
func (c *cursor) has(s string) bool {
	if len(c.rest) < len(s) || string(c.rest[:len(s)]) != s {
		return false
	}
	c.rest = c.rest[len(s):]
	return true
}

func (c *cursor) expect(s string) {
	if !c.has(s) {
		c.failed = true
	}
}

func (c *cursor) number() uint64 {
	n, rest, ok := cutNumber(c.rest)
	c.rest, c.failed = rest, c.failed || !ok
	return n
}

func (c *cursor) integer() int64 {
	negative := c.has("-")
	n := c.number()
	if n > 1<<63-1 {
		c.failed = true
	}
	if negative {
		return -int64(n)
	}
	return int64(n)
}

// text reads a string behind its first quote, if it is plain.
func (c *cursor) text() string {
	end := bytes.IndexByte(c.rest, '"')
	if end < 0 || !isPlain(c.rest[:end]) {
		c.failed = true
		return ""
	}
	s := string(c.rest[:end])
	c.rest = c.rest[end+1:]
	return s
}

// isPlain reports whether s stands for itself in JSON.
func isPlain[S string | []byte](s S) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c > '~' {
			return false
		}
	}
	return true
}

// cutNumber returns the number that b begins with, and what follows.
func cutNumber(b []byte) (n uint64, rest []byte, ok bool) {
	const digits = 19 // as many always fit
	i := 0
	for i < len(b) && i < digits && '0' <= b[i] && b[i] <= '9' {
		n = n*10 + uint64(b[i]-'0')
		i++
	}
	return n, b[i:], i > 0
}

// appendString appends s in JSON.
func appendString(b []byte, s string) []byte {
	if isPlain(s) {
		return append(append(append(b, '"'), s...), '"')
	}
	quoted, _ := json.Marshal(s) // of a string it never fails
	return append(b, quoted...)
}

// appendPlace appends a queue and a number behind key.
func appendPlace(b []byte, key string, q eventbus.Queue, seq uint64) []byte {
	b = append(append(append(b, key...), '"'), q.String()...)
	return strconv.AppendUint(append(b, `","seq":`...), seq, 10)
}
