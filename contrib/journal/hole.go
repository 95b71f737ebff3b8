package journal

import (
	"bytes"
	"io"
)

// After a power cut a file can be as long as it was and lack what was not synced: it holds
// zeros there. A disk writes whole sectors, so of a sector either all is missing that was
// written since the last sync, or nothing.

// sector is what a disk writes in one piece.
const sector = 512

// nextSector returns where the sector behind the one of an offset begins.
func nextSector(at int64) int64 { return at/sector*sector + sector }

// isTorn reports whether f, behind which there is no whole block, is what a writer had not
// finished. It judges by the faulty block alone: what was never written behind a block says
// nothing of that block, which may have been synced.
func (b *blocks) isTorn(f *fault, at, size int64) (bool, error) {
	switch f.kind {
	case cutOff:
		return true, nil
	case badHeader:
		return headerIsTorn(b.file, at, size)
	case badFrame:
		return frameIsTorn(b.file, at, f.end, size)
	}
	return false, nil
}

// headerIsTorn judges a block whose header is wrong. In its place there are zeros up to a
// sector, or the header's first bytes and zeros behind them up to a sector. At the beginning
// of the file nothing shows that the file is a journal at all, and so the zeros must go on
// to its end: Open would cut all of it away.
func headerIsTorn(file io.ReaderAt, at, size int64) (bool, error) {
	end := min(nextSector(at+headerSize), size)
	if at == 0 {
		end = size
	} else if torn, err := isZero(file, at, min(nextSector(at), size)); torn || err != nil {
		return torn, err
	}
	head := make([]byte, min(headerSize, size-at))
	if err := readAt(file, head, at); err != nil {
		return false, err
	}
	begun := int64(0)
	for begun < int64(min(len(magic), len(head))) && head[begun] == magic[begun] {
		begun++
	}
	if begun == int64(len(magic)) { // any number may follow, but of a header that is complete the checksum would be right
		begun = headerSize - 1
	}
	return isZero(file, at+begun, end)
}

// frameIsTorn judges a block that ends at end, whose header is right and whose frame is not:
// a sector of it is missing, or its last bytes, as many as zstd's checksum has. Compressed
// JSON has no such runs of zeros.
func frameIsTorn(file io.ReaderAt, at, end, size int64) (bool, error) {
	for s := nextSector(at); s < end; s += sector {
		if torn, err := isZero(file, s, min(s+sector, size)); torn || err != nil {
			return torn, err
		}
	}
	return isZero(file, end-4, end)
}

// isZero reports whether a part of a file holds zeros alone.
func isZero(file io.ReaderAt, from, to int64) (bool, error) {
	var buf, zeros [8 * sector]byte
	for from < to {
		part := buf[:min(int64(len(buf)), to-from)]
		if err := readAt(file, part, from); err != nil {
			return false, err
		}
		if !bytes.Equal(part, zeros[:len(part)]) {
			return false, nil
		}
		from += int64(len(part))
	}
	return true, nil
}
