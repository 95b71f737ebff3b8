package journal

import (
	"errors"
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
	var report Report
	r, err := openReader(path, parseLine)
	if err != nil {
		return report, err
	}
	defer r.close()
	var last, session uint64
	for {
		l, err := r.next()
		var damage *DamageError
		switch {
		case isEnd(err):
			info, err := r.file.Stat()
			if err == nil {
				report.Size, report.Torn = info.Size(), info.Size()-r.at
			}
			return report, err
		case errors.As(err, &damage):
			report.Damage = append(report.Damage, damage)
		case err != nil:
			return report, err
		case l.Manifest != nil:
			if l.Manifest.Session != session {
				session = l.Manifest.Session
				report.Sessions++
			}
		default:
			report.Records++
			report.Missing += l.N - last - 1
			last = l.N
			if l.Error != "" {
				report.Unencoded++
			}
		}
	}
}
