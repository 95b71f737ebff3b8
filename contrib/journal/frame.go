package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
)

// The file is a sequence of blocks. A block is a skippable zstd frame, the header, and a
// zstd frame with a checksum, which holds whole lines. Decompressors pass over the header.
//
//	0   magic of a skippable frame: 0x184D2A5E, little-endian, as all numbers
//	4   length of the rest of the header: 12
//	8   length of the zstd frame
//	12  CRC-32C of the zstd frame
//	16  CRC-32C of bytes 0 to 15
//	20  the zstd frame
//
// With a length that can be trusted, a block that ends beyond the end of the file is told
// from a damaged one: it is torn, because its writer died. With the checksum of the header,
// the next block can be found behind damage. That of the frame is there because zstd's own
// is of what is decompressed: some flipped bits of a frame change nothing there.
const (
	headerSize  = 20
	headerMagic = 0x184D2A5E

	flushSize = 256 << 10 // of lines in a block: more does not compress better
	maxData   = 8 << 20   // a payload that is longer is an error
	maxName   = 64 << 10  // a type, a source, or the text of an error; six times that in JSON, at worst
	maxBlock  = flushSize + maxData + 4*6*maxName + 1024
	maxFrame  = 2 * maxBlock // more than any block takes when it is compressed
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// putHeader makes the first bytes of block, which is complete, its header.
func putHeader(block []byte) {
	frame := block[headerSize:]
	binary.LittleEndian.PutUint32(block, headerMagic)
	binary.LittleEndian.PutUint32(block[4:], headerSize-8)
	binary.LittleEndian.PutUint32(block[8:], uint32(len(frame)))
	binary.LittleEndian.PutUint32(block[12:], crc32.Checksum(frame, castagnoli))
	binary.LittleEndian.PutUint32(block[16:], crc32.Checksum(block[:16], castagnoli))
}

// readHeader returns the length and the checksum of the zstd frame behind header h, and
// false if h is none.
func readHeader(h []byte) (size int64, sum uint32, ok bool) {
	if !bytes.HasPrefix(h, magic) || binary.LittleEndian.Uint32(h[16:]) != crc32.Checksum(h[:16], castagnoli) {
		return 0, 0, false
	}
	return int64(binary.LittleEndian.Uint32(h[8:])), binary.LittleEndian.Uint32(h[12:]), true
}

// newEncoder returns what compresses lines.
func newEncoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(true), zstd.WithSingleSegment(true))
}

// A fault is why there is no block at an offset.
type fault struct {
	kind   faultKind
	reason string
	end    int64 // where the block ends, of a badFrame
}

// A faultKind says how much of a block is there.
type faultKind int

const (
	cutOff    faultKind = iota // the file ends inside the block: its writer had not finished it
	badHeader                  // the header, or a part of it, is wrong
	badFrame                   // the header is right, and the checksum of the frame wrong
	foreign                    // the checksums are right, but this package writes no such block
)

// blocks reads the blocks of a file.
type blocks struct {
	file io.ReaderAt
	dec  *zstd.Decoder
	head [headerSize]byte
	buf  []byte // of compressed frames
}

func newBlocks(file io.ReaderAt) (*blocks, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxFrame))
	if err != nil {
		return nil, err
	}
	return &blocks{file: file, dec: dec}, nil
}

func (b *blocks) close() { b.dec.Close() }

// read returns the lines of the block at an offset of a file of a size, and where the next
// begins. It returns io.EOF at the end of the file. The lines are the caller's.
func (b *blocks) read(at, size int64) (lines []byte, next int64, f *fault, err error) {
	if at >= size {
		return nil, at, nil, io.EOF
	}
	head := b.head[:min(headerSize, size-at)]
	if err := readAt(b.file, head, at); err != nil {
		return nil, at, nil, err
	}
	length, sum, f := judgeHeader(head, size-at)
	if f != nil {
		return nil, at, f, nil
	}
	next = at + headerSize + length
	if err := b.readFrame(at+headerSize, length); err != nil {
		return nil, at, nil, err
	}
	if crc32.Checksum(b.buf, castagnoli) != sum {
		return nil, at, &fault{kind: badFrame, reason: "the block's checksum is wrong", end: next}, nil
	}
	lines, err = b.dec.DecodeAll(b.buf, nil)
	if err == nil {
		err = checkLines(lines)
	}
	if err != nil {
		return nil, at, &fault{kind: foreign, reason: err.Error()}, nil
	}
	return lines, next, nil, nil
}

// judgeHeader returns the length and the checksum of the zstd frame behind a header, with so
// many bytes of the file from the header on, or what is wrong with it.
func judgeHeader(head []byte, left int64) (length int64, sum uint32, f *fault) {
	if len(head) < headerSize {
		return 0, 0, shortHeader(head)
	}
	length, sum, ok := readHeader(head)
	switch {
	case !ok:
		return 0, 0, &fault{kind: badHeader, reason: "there is no block's header"}
	case length > maxFrame:
		return 0, 0, &fault{kind: foreign, reason: fmt.Sprintf("the block takes %d bytes, want %d at most", length, maxFrame)}
	case length > left-headerSize:
		return 0, 0, &fault{kind: cutOff, reason: "the file ends inside a block"}
	}
	return length, sum, nil
}

// readFrame reads a zstd frame into b.buf.
func (b *blocks) readFrame(at, length int64) error {
	if int64(cap(b.buf)) < length {
		b.buf = make([]byte, length)
	}
	b.buf = b.buf[:length]
	return readAt(b.file, b.buf, at)
}

// magic begins every block.
var magic = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, headerMagic), headerSize-8)

// shortHeader judges a header that is cut off. Anything else that is as short, such as a
// text file of a few bytes, must not be taken for what a writer had not finished: Open
// would cut it away.
func shortHeader(head []byte) *fault {
	f := &fault{kind: badHeader, reason: "the file ends inside a block's header"}
	if n := min(len(head), len(magic)); bytes.Equal(head[:n], magic[:n]) {
		f.kind = cutOff
	}
	return f
}

// readAt fills p. A file that has become shorter meanwhile is an error.
func readAt(r io.ReaderAt, p []byte, at int64) error {
	n, err := r.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading at %d: %w", at, err)
}

func checkLines(lines []byte) error {
	switch {
	case len(lines) == 0:
		return errors.New("the block is empty")
	case lines[len(lines)-1] != '\n':
		return errors.New("the block does not end with a line")
	case len(lines) > maxBlock:
		return fmt.Errorf("the block holds %d bytes, want %d at most", len(lines), maxBlock)
	}
	return nil
}

// find returns the offset of the first whole block from at on, and size if there is none.
func (b *blocks) find(at, size int64) (int64, error) {
	const window = 1 << 16
	buf := make([]byte, window)
	for at < size {
		part := buf[:min(window, size-at)]
		if err := readAt(b.file, part, at); err != nil {
			return 0, err
		}
		i := bytes.Index(part, magic)
		if i < 0 {
			at += max(1, int64(len(part)-len(magic)+1)) // the magic may begin in this window and end in the next
			continue
		}
		at += int64(i)
		if _, _, f, err := b.read(at, size); f == nil || err != nil {
			return at, err
		}
		at++
	}
	return size, nil
}
