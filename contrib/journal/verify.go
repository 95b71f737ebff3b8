package journal

import (
	"errors"
	"fmt"
)

// A Report is what [Verify] has found.
type Report struct {
	Size     int64 // of the file
	Torn     int64 // bytes at the end that a writer had not finished; Open cuts them off
	Sessions int   // that have a manifest
	Records  uint64
	Missing  uint64 // numbers of records that are not there, between others

	// Unencoded counts the records whose payload could not be encoded. They are no damage.
	Unencoded uint64

	Damage []*DamageError
}

// Verify reads the journal at path to its end and reports what is wrong. The error is that of
// reading the file; damage is none. A file that is being written may be verified: what has not
// been finished yet counts as torn.
func Verify(path string) (Report, error) {
	var v verifier
	r, err := openReader(path, parseLine)
	if err != nil {
		return v.Report, err
	}
	defer r.close()
	for {
		l, err := r.next()
		var damage *DamageError
		switch {
		case isEnd(err):
			return v.end(r)
		case errors.As(err, &damage):
			v.Damage = append(v.Damage, damage)
		case err != nil:
			return v.Report, err
		default:
			v.add(l)
		}
	}
}

// A verifier is the report so far.
type verifier struct {
	Report
	last, session uint64
}

func (v *verifier) add(l line) {
	if m := l.Manifest; m != nil {
		if m.Session != v.session {
			v.session = m.Session
			v.Sessions++
		}
		return
	}
	v.Records++
	v.Missing += l.N - v.last - 1
	v.last = l.N
	if l.Error != "" {
		v.Unencoded++
	}
}

// end returns the report at the end of what can be read.
func (v *verifier) end(r *reader) (Report, error) {
	info, err := r.file.Stat()
	if err != nil {
		return v.Report, fmt.Errorf("journal: %w", err)
	}
	v.Size, v.Torn = info.Size(), info.Size()-r.at
	return v.Report, nil
}
