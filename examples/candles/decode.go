package candles

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// formats says what to do with a file by its first bytes. Whatever is not in it is text.
var formats = []struct {
	magic  string
	open   func(io.Reader) (io.Reader, error)
	refuse string // what the file is and what to do, where it cannot be read
}{
	{magic: "\x1f\x8b", open: func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
	{magic: "PK\x03\x04", open: unzip},
	{magic: "BZh", open: func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }},
	{magic: "\xfd7zXZ\x00", refuse: "is compressed with xz: unpack it with unxz first"},
	{magic: "\x28\xb5\x2f\xfd", refuse: "is compressed with zstd: unpack it with unzstd first"},
	{magic: "7z\xbc\xaf\x27\x1c", refuse: "is a 7z archive: unpack it first"},
	{magic: "PAR1", refuse: "is a Parquet file: want CSV"},
	{magic: "\xd0\xcf\x11\xe0", refuse: "is a spreadsheet: save it as CSV"},
	{magic: "%PDF", refuse: "is a PDF document: want CSV"},
	{magic: "<", open: refuseMarkup},
	{magic: "{", refuse: "is JSON: want CSV"},
	{magic: "[", refuse: "is JSON: want CSV"},
}

// peeked is how much of a file its format and encoding are told from.
const peeked = 64 << 10

// decode returns the text of a file in UTF-8, unpacked.
func decode(r io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(r)
	for _, f := range formats {
		head, _ := buffered.Peek(len(f.magic))
		switch {
		case string(head) != f.magic:
		case f.refuse != "":
			return nil, errors.New(f.refuse)
		default:
			unpacked, err := f.open(buffered)
			if err != nil {
				return nil, err
			}
			return toUTF8(unpacked), nil
		}
	}
	return toUTF8(buffered), nil
}

func refuseMarkup(r io.Reader) (io.Reader, error) {
	head := make([]byte, 512)
	n, _ := io.ReadFull(r, head)
	text := strings.ToLower(string(head[:n]))
	for _, mark := range []string{"<!doctype", "<html", "<?xml"} {
		if strings.HasPrefix(text, mark) {
			return nil, errors.New("is a web page or XML, as a failed download is: want CSV")
		}
	}
	return io.MultiReader(bytes.NewReader(head[:n]), r), nil // such as the <DATE> of MetaTrader
}

// unzip opens the one file in an archive. It keeps the archive in memory, because its directory is at its end.
func unzip(r io.Reader) (io.Reader, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("is a zip archive that cannot be read, perhaps cut: %w", err)
	}
	var files []*zip.File
	var names []string
	for _, f := range archive.File {
		if f.Name == "[Content_Types].xml" {
			return nil, errors.New("is a spreadsheet: save it as CSV")
		}
		if !f.FileInfo().IsDir() && !strings.HasPrefix(f.Name, "__MACOSX/") {
			files, names = append(files, f), append(names, f.Name)
		}
	}
	const encrypted = 1
	switch {
	case len(files) != 1:
		return nil, fmt.Errorf("is a zip archive of %d files (%s): want one, so unpack it and choose", len(files), firstOf(names))
	case files[0].Flags&encrypted != 0:
		return nil, errors.New("is a zip archive with a password: unpack it first")
	}
	return files[0].Open()
}

// toUTF8 heeds a byte order mark, knows UTF-16 without one by its zero bytes, and takes what is not UTF-8 for
// Windows-1252.
func toUTF8(r io.Reader) io.Reader {
	buffered := bufio.NewReaderSize(r, peeked)
	head, _ := buffered.Peek(2)
	decoder := unicode.UTF8.NewDecoder()
	switch {
	case len(head) == 2 && head[1] == 0:
		decoder = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewDecoder()
	case len(head) == 2 && head[0] == 0:
		decoder = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewDecoder()
	case len(head) == 2 && !validUTF8(buffered):
		decoder = charmap.Windows1252.NewDecoder()
	}
	return transform.NewReader(buffered, unicode.BOMOverride(decoder.Transformer))
}

// validUTF8 looks at what can be read without a wait for more of a pipe.
func validUTF8(r *bufio.Reader) bool {
	text, _ := r.Peek(r.Buffered())
	for cut := 0; cut < utf8.UTFMax && cut < len(text); cut++ { // the last character may not be whole
		if utf8.Valid(text[:len(text)-cut]) {
			return true
		}
	}
	return len(text) == 0
}

// firstOf lists names, and only says of the others how many they are.
func firstOf(names []string) string {
	const shown = 8
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
