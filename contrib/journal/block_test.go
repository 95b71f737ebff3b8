package journal_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// encoder returns the encoder of all blocks: to make one takes long.
var encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<16))
})

// block returns lines as a block, made as the format says and not by this package.
func block(t testing.TB, lines string) []byte {
	enc, err := encoder()
	require.NoError(t, err)
	frame := enc.EncodeAll([]byte(lines), nil)
	table := crc32.MakeTable(crc32.Castagnoli)
	b := binary.LittleEndian.AppendUint32(nil, 0x184D2A5E)
	b = binary.LittleEndian.AppendUint32(b, 12)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frame)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(frame, table))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, table))
	return append(b, frame...)
}

func writeVersion(t testing.TB, path string, version int) {
	line := fmt.Sprintf(`{"manifest":{"version":%d,"session":1,"start":5}}`+"\n", version)
	require.NoError(t, os.WriteFile(path, block(t, line), 0o600))
}
