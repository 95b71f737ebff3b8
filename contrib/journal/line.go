package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// A line of a journal is a record or a manifest. Readers accept a record's fields in any order,
// and are faster with that in which they are written: number and session first, the payload
// last.
//
// A manifest's line has the numbers of a record too, so that tools which make columns of
// them keep integers: where a line lacks a number, pandas rounds the times of all.
//
//	{"n":0,"session":1,"seq":0,"time":…,"manifest":{"version":1,"session":1,…}}
//	{"n":1,"session":1,"queue":"data","seq":1,"type":"tick","time":…,"cause":{…},"data":{…}}
type line struct {
	Record
	Manifest *Manifest `json:"manifest"`
}

func parseLine(b []byte) (l line, err error) {
	if r, ok := parseRecord(b); ok && r.N > 0 {
		return line{Record: r}, nil
	}
	if err := json.Unmarshal(b, &l); err != nil {
		return l, fmt.Errorf("a line is no record: %w", err)
	}
	if m := l.Manifest; m != nil && m.Version != formatVersion {
		return l, &versionError{m.Version}
	}
	return l, nil
}

// parseHead is parseLine of no more than a record's number and session, or a manifest.
func parseHead(b []byte) (l line, err error) {
	rest, isRecord := bytes.CutPrefix(b, []byte(`{"n":`))
	if isRecord {
		var ok1, ok2 bool
		l.N, rest, ok1 = cutNumber(rest)
		rest, ok2 = bytes.CutPrefix(rest, []byte(`,"session":`))
		if ok1 && ok2 {
			if l.Session, _, ok1 = cutNumber(rest); ok1 && l.N > 0 {
				return l, nil
			}
		}
	}
	return parseLine(b)
}

// A versionError says that a later version of this package has written the file.
type versionError struct{ version int }

func (e *versionError) Error() string {
	return fmt.Sprintf("the file has version %d of the format, want %d: a later version of this package reads it", e.version, formatVersion)
}

// A sequence checks that nothing is missing between lines, and nothing there twice.
type sequence struct {
	n       uint64 // of the last record
	session uint64 // of the last manifest
	jumps   bool   // the next record may have any higher number: it comes behind damage
}

// pass returns an error if l cannot follow the lines so far, and then remembers nothing
// of it.
func (s *sequence) pass(l line) error {
	if m := l.Manifest; m != nil {
		if m.Session != s.session && m.Session != s.session+1 && (!s.jumps || m.Session < s.session) {
			return fmt.Errorf("session %d follows session %d", m.Session, s.session)
		}
		s.session = m.Session
		return nil
	}
	switch {
	case s.jumps && l.N > s.n && l.Session >= s.session:
	case l.N != s.n+1:
		return fmt.Errorf("record %d follows record %d", l.N, s.n)
	case l.Session != s.session:
		return fmt.Errorf("record %d is of session %d, the last manifest of session %d", l.N, l.Session, s.session)
	}
	s.n, s.session, s.jumps = l.N, l.Session, false
	return nil
}

// appendRecord appends the line of a record.
func appendRecord(b []byte, r *Record) []byte {
	b = strconv.AppendUint(append(b, `{"n":`...), r.N, 10)
	b = strconv.AppendUint(append(b, `,"session":`...), r.Session, 10)
	b = appendPlace(b, `,"queue":`, r.Queue, r.Seq)
	b = appendString(append(b, `,"type":`...), string(r.Type))
	if r.Source != "" {
		b = appendString(append(b, `,"source":`...), r.Source)
	}
	b = strconv.AppendInt(append(b, `,"time":`...), r.Time, 10)
	if c := r.Cause; c != nil {
		b = appendPlace(b, `,"cause":{"queue":`, c.Queue, c.Seq)
		b = appendPlace(b, `,"root":{"queue":`, c.Root.Queue, c.Root.Seq)
		b = appendString(append(b, `,"type":`...), string(c.Root.Type))
		b = strconv.AppendInt(append(b, `,"time":`...), c.Root.Time, 10)
		b = strconv.AppendInt(append(b, `},"hops":`...), int64(c.Hops), 10)
		b = append(b, '}')
	}
	if r.Error != "" {
		b = appendString(append(b, `,"error":`...), r.Error)
	}
	if r.Data != nil {
		b = append(append(b, `,"data":`...), r.Data...)
	}
	return append(b, "}\n"...)
}

// appendManifest appends the line of a manifest.
func appendManifest(b []byte, m *Manifest) ([]byte, error) {
	encoded, err := json.Marshal(struct {
		N        uint64    `json:"n"`
		Session  uint64    `json:"session"`
		Seq      uint64    `json:"seq"`
		Time     int64     `json:"time"`
		Manifest *Manifest `json:"manifest"`
	}{Session: m.Session, Time: m.Start, Manifest: m})
	return append(append(b, encoded...), '\n'), err
}
