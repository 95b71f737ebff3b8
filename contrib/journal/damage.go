package journal

import "fmt"

// A DamageError says that a part of a journal cannot be read: a block whose checksum or
// whose lines are wrong, or records that are missing. A torn tail, which a writer that was
// killed leaves, is no damage.
type DamageError struct {
	Path   string
	Offset int64 // where the damage begins, in bytes

	// Next is where the next whole block begins, on which Recover reads. It is Offset if records
	// are missing ahead of the block there, which is whole itself, and 0 if nothing that can be
	// read follows.
	Next   int64
	Reason string // what is wrong at Offset
}

// Error names the file, the offset and what is wrong there.
func (e *DamageError) Error() string {
	s := fmt.Sprintf("journal: %s is damaged at offset %d: %s", e.Path, e.Offset, e.Reason)
	if e.Next > e.Offset {
		return s + fmt.Sprintf("; it goes on at offset %d, and Recover reads on there", e.Next)
	}
	return s
}
