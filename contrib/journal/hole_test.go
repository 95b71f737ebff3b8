package journal_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/contrib/journal"
)

// twoBlocks returns a journal of a manifest and a block with a record behind it, and where
// that begins: at another place for each n.
func twoBlocks(t testing.TB, n int) (file []byte, second int) {
	rnd, pad := rand.New(rand.NewPCG(uint64(n), 0)), make([]byte, n)
	for i := range pad {
		pad[i] = 'A' + byte(rnd.IntN(26))
	}
	file = block(t, fmt.Sprintf(`{"manifest":{"version":1,"session":1,"start":5,"meta":"%s"}}`+"\n", pad))
	record := fmt.Sprintf(`{"n":1,"session":1,"queue":"data","seq":1,"type":"tick","time":0,"data":"%s"}`+"\n", pad[:min(n, n*7%53)])
	return append(file, block(t, record)...), len(file)
}

// zeroed returns b with zeros from one offset to another.
func zeroed(b []byte, from, to int) []byte {
	b = slices.Clone(b)
	clear(b[from:to])
	return b
}

// isTorn reports whether Open cuts the second block of a file off. Otherwise it must leave
// the file alone.
func isTorn(t *testing.T, path string, file []byte, second int) bool {
	require.NoError(t, os.WriteFile(path, file, 0o600))
	j, err := journal.Open(path)
	left, readErr := os.ReadFile(path)
	require.NoError(t, readErr)
	if err != nil {
		var damage *journal.DamageError
		require.ErrorAs(t, err, &damage)
		require.Equal(t, file, left, "it is left alone")
		return false
	}
	require.NoError(t, j.Close())
	require.Equal(t, file[:second], left[:second])
	return true
}

// A power cut can leave any sector of what was not synced unwritten, and it holds zeros then.
// That is a torn tail, wherever the sectors of the last block begin and end.
func TestOpenCutsWhatAPowerCutLeaves(t *testing.T) {
	path := tempPath(t)
	heads, tails := make(map[int]bool), make(map[int]bool) // how much of the block is in its first sector, and in its last
	for n := range 1000 {
		file, second := twoBlocks(t, n)
		end := len(file)
		for boundary := (second/512 + 1) * 512; boundary < end; boundary += 512 {
			if heads[boundary-second] && tails[end-boundary] {
				continue
			}
			require.True(t, isTorn(t, path, zeroed(file, second, boundary), second), "%d to %d of %d", second, boundary, end)
			require.True(t, isTorn(t, path, zeroed(file, boundary, min(boundary+512, end)), second), "%d to %d behind %d", boundary, end, second)
			more := append(zeroed(file, boundary, end), make([]byte, 3000)...) // of blocks behind it
			require.True(t, isTorn(t, path, more, second), "%d to %d behind %d, and more", boundary, end, second)
			heads[boundary-second], tails[end-boundary] = true, true
		}
	}
	for n := range 19 {
		require.True(t, heads[n+1], "no header had %d bytes in its first sector", n+1)
	}
	for n := range 3 {
		require.True(t, tails[n+1], "no block had %d bytes in its last sector", n+1)
	}
}

// A flipped bit in a block that was synced is damage, though what was written behind the block
// is missing after a power cut.
func TestOpenCutsNoBlockThatWasSynced(t *testing.T) {
	path := tempPath(t)
	for _, n := range []int{0, 90, 300, 444} {
		file, second := twoBlocks(t, n)
		for _, behind := range []int{0, 1, 100, 511, 512, 3000} {
			for at := second; at < len(file); at++ {
				flipped := append(slices.Clone(file), make([]byte, behind)...)
				flipped[at] ^= 1 << (at % 8)
				require.False(t, isTorn(t, path, flipped, second), "byte %d of the block from %d to %d, and %d zeros behind it", at, second, len(file), behind)
			}
		}
	}
}
