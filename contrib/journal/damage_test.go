package journal_test

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/journal"
)

// writeBlocks makes a journal of so many blocks of two records each, behind one with the
// manifest, and returns where each block begins, and where the file ends.
func writeBlocks(t *testing.T, path string, blocks int) (begins []int64) {
	j := open(t, path)
	bus := newBus(t)
	j.Record(bus)
	require.Eventually(t, func() bool { return j.Stats().Bytes > 0 }, patience, time.Millisecond, "the manifest is a block of its own")
	for i := range blocks {
		require.NoError(t, ticks.Publish(limited(t), bus, tick{ID: uint64(2 * i)}))
		require.NoError(t, ticks.Publish(limited(t), bus, tick{ID: uint64(2*i + 1)}))
		step(t, bus)
		require.NoError(t, j.Sync(limited(t)))
	}
	require.NoError(t, j.Close())
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	at := int64(0)
	for at < int64(len(b)) {
		begins = append(begins, at)
		at += 20 + int64(binary.LittleEndian.Uint32(b[at+8:]))
	}
	return append(begins, at)
}

// A torn tail, wherever it is cut, is no damage: Read ends before it, and Open cuts it off
// and goes on.
func TestOpenCutsATornTail(t *testing.T) {
	whole := tempPath(t)
	begins := writeBlocks(t, whole, 4)
	last, end := begins[len(begins)-2], begins[len(begins)-1]
	b, err := os.ReadFile(whole)
	require.NoError(t, err)
	records := read(t, whole)
	kept := len(records) - 2

	cuts := []int64{last} // no torn tail, but a block less
	for _, n := range []int64{1, 2, 4, 7, 8, 9, 11, 12, 13, 15, 16, 17, 19, 20, 21, 24, 30} {
		cuts = append(cuts, last+n) // in the header, at its end, and in the frame's
	}
	cuts = append(cuts, (last+end)/2, end-5, end-4, end-3, end-1) // in its middle, and around its checksum
	require.GreaterOrEqual(t, len(cuts), 20)
	for _, cut := range cuts {
		tails := [][]byte{nil}
		if cut > last { // a power cut may leave the length and lose the data
			tails = append(tails, make([]byte, end-cut), make([]byte, 2000))
		}
		for _, tail := range tails {
			if len(tail) > 0 && end-cut < 4 {
				continue // so few zeros could be data, unless they begin with a sector: see TestOpenCutsWhatAPowerCutLeaves
			}
			path := tempPath(t)
			require.NoError(t, os.WriteFile(path, append(slices.Clone(b[:cut]), tail...), 0o600))
			require.Equal(t, records[:kept], read(t, path), "cut at %d of %d to %d, and %d zeros", cut, last, end, len(tail))
			report, err := journal.Verify(path)
			require.NoError(t, err)
			require.Equal(t, cut-last+int64(len(tail)), report.Torn)
			require.Empty(t, report.Damage)

			j, err := journal.Open(path, topics()...)
			require.NoError(t, err)
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.Equal(t, last, info.Size(), "it is cut off, and not left to be written over in part")
			bus := newBus(t)
			j.Record(bus)
			require.NoError(t, ticks.Publish(limited(t), bus, tick{ID: 99}))
			step(t, bus)
			require.NoError(t, j.Close())
			again := read(t, path)
			require.Len(t, again, kept+1)
			require.EqualValues(t, kept+1, again[kept].N)
			require.EqualValues(t, 2, again[kept].Session)
		}
	}
}

// A flipped byte anywhere but in a torn tail is an error that names the offset of its block,
// Open leaves the file as it is, and Recover yields all records but those of that block.
func TestReadNamesTheOffsetOfDamage(t *testing.T) {
	whole := tempPath(t)
	begins := writeBlocks(t, whole, 4) // and one with the manifest
	b, err := os.ReadFile(whole)
	require.NoError(t, err)
	records := read(t, whole)
	for at := range b {
		block, _ := slices.BinarySearch(begins, int64(at)+1)
		if in := int64(at) - begins[block-1]; in > 24 && in%5 != 0 { // each byte of a header, and some of a frame
			continue
		}
		damaged := slices.Clone(b)
		damaged[at] ^= 1 << (at % 8)
		checkDamage(t, damaged, int64(at), begins, records)
	}
}

func checkDamage(t *testing.T, damaged []byte, at int64, begins []int64, records []journal.Record) {
	path := tempPath(t)
	require.NoError(t, os.WriteFile(path, damaged, 0o600))
	block, _ := slices.BinarySearch(begins, at+1)
	block-- // the manifest's is 0
	want := slices.Clone(records)
	if block > 0 {
		want = slices.Delete(want, 2*(block-1), 2*block)
	}
	end := begins[len(begins)-1]

	_, err := journal.Open(path)
	var damage *journal.DamageError
	require.ErrorAs(t, err, &damage, "byte %d of block %d", at, block)
	require.Equal(t, begins[block], damage.Offset)
	require.Equal(t, path, damage.Path)
	next := begins[block+1]
	if next == end {
		next = 0
	}
	require.Equal(t, next, damage.Next)
	left, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, damaged, left)

	var got []journal.Record
	var found []error
	for r, err := range journal.Recover(path) {
		if err != nil {
			found = append(found, err)
			continue
		}
		got = append(got, r)
	}
	require.Equal(t, want, got)
	require.Len(t, found, 1)
	n := 0
	for _, err := range journal.Read(path) {
		n++
		if err != nil {
			require.ErrorAs(t, err, &damage)
			require.Equal(t, begins[block], damage.Offset)
		}
	}
	require.Equal(t, max(0, 2*(block-1))+1, n, "Read ends at the damage")
	report, err := journal.Verify(path)
	require.NoError(t, err)
	require.Len(t, report.Damage, 1)
	require.EqualValues(t, len(want), report.Records)
	if block > 0 && next != 0 {
		require.EqualValues(t, 2, report.Missing)
	}
}

// A part of the file that is missing, or there twice, is damage, though every block is whole.
func TestReadMissesRecords(t *testing.T) {
	whole := tempPath(t)
	begins := writeBlocks(t, whole, 4)
	b, err := os.ReadFile(whole)
	require.NoError(t, err)
	part := func(i int) []byte { return b[begins[i]:begins[i+1]] }
	for want, blocks := range map[string][]int{
		"record 5 follows record 2":                                {0, 1, 3, 4},
		"record 1 follows record 2":                                {0, 1, 1, 2},
		"record 1 follows record 4":                                {0, 1, 2, 1},
		"record 1 is of session 1, the last manifest of session 0": {1, 2},
		"record 3 follows record 0":                                {2, 3},
	} {
		path := tempPath(t)
		var parts []byte
		for _, i := range blocks {
			parts = append(parts, part(i)...)
		}
		require.NoError(t, os.WriteFile(path, parts, 0o600))
		_, err := journal.Open(path)
		var damage *journal.DamageError
		require.ErrorAs(t, err, &damage)
		require.Equal(t, want, damage.Reason)
		numbers := []uint64{0}
		for r, err := range journal.Recover(path) {
			if err == nil {
				require.Greater(t, r.N, numbers[len(numbers)-1], "none is there twice")
				numbers = append(numbers, r.N)
			} else {
				require.ErrorAs(t, err, &damage)
			}
		}
		require.Greater(t, len(numbers), 1)
	}
}

// A reader that follows a file sees what is recorded, over several sessions and torn tails,
// and ends with its context.
func TestFollowWaitsForRecords(t *testing.T) {
	path := tempPath(t)
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	f := follow(t, path)
	for session := range 3 {
		j := open(t, path, journal.WithFlushInterval(time.Millisecond))
		bus := newBus(t)
		j.Record(bus)
		for i := range 20 {
			require.NoError(t, ticks.Publish(limited(t), bus, tick{}))
			step(t, bus)
			if i%10 == 0 {
				require.Eventually(t, func() bool { return f.last.Load() == uint64(session*20+i+1) }, patience, time.Millisecond)
			}
		}
		require.NoError(t, j.Close())
		file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = file.Write([]byte{0x5e, 0x2a, 0x4d, 0x18, 12, 0, 0, 0, 1})
		require.NoError(t, err)
		require.NoError(t, file.Close())
	}
	require.Len(t, f.stopAt(t, 60), 60)
}

// The end of its context ends a reader that follows a file, though there is more to be read.
func TestFollowEndsWithItsContext(t *testing.T) {
	path := tempPath(t)
	writeBlocks(t, path, 5)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last uint64
	for r, err := range journal.Read(path, journal.Follow(ctx)) {
		require.NoError(t, err)
		if last = r.N; last == 3 {
			cancel()
		}
	}
	require.EqualValues(t, 4, last, "a block holds two")
	for range journal.Read(path, journal.Follow(ctx)) {
		require.Fail(t, "the context had ended before")
	}
}

// A file that is cut while it is read is an error, and not an end.
func TestFollowTellsOfACut(t *testing.T) {
	path := tempPath(t)
	writeBlocks(t, path, 2)
	for r, err := range journal.Read(path, journal.Follow(limited(t))) {
		if err != nil {
			require.ErrorContains(t, err, "was cut to 10 bytes while it was read")
			return
		}
		if r.N == 4 {
			require.NoError(t, os.Truncate(path, 10))
		}
	}
	require.Fail(t, "it ended without an error")
}

func TestReadStops(t *testing.T) {
	path := tempPath(t)
	writeBlocks(t, path, 3)
	n := 0
	for range journal.Read(path) {
		if n++; n == 3 {
			break
		}
	}
	require.Equal(t, 3, n)
	for _, err := range journal.Read(path + ".none") {
		require.ErrorIs(t, err, os.ErrNotExist)
		n++
	}
	require.Equal(t, 4, n)
	_, err := journal.Manifests(path + ".none")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = journal.Verify(path + ".none")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.False(t, errors.Is(err, context.Canceled))
}

// A file of a later version is refused by name.
func TestReadRefusesALaterVersion(t *testing.T) {
	path := tempPath(t)
	writeVersion(t, path, 2)
	_, err := journal.Open(path)
	require.ErrorContains(t, err, "has version 2 of the format, want 1")
	for _, err := range journal.Recover(path) {
		require.ErrorContains(t, err, "has version 2 of the format, want 1")
	}
	_, err = journal.Replay(limited(t), newBus(t), path)
	require.ErrorContains(t, err, "version 2")
	require.NotErrorIs(t, err, eventbus.ErrRunning)
}

// A header that is right and names a length that no block has is damage, and nothing is made
// to hold so much. Nor is it a torn tail, though the file ends inside.
func TestReadRefusesABlockThatIsTooLong(t *testing.T) {
	path := tempPath(t)
	b := block(t, `{"manifest":{"version":1,"session":1,"start":5}}`+"\n")
	long := binary.LittleEndian.AppendUint32(nil, 0x184D2A5E)
	long = binary.LittleEndian.AppendUint32(long, 12)
	long = binary.LittleEndian.AppendUint32(long, 1<<32-1)
	long = binary.LittleEndian.AppendUint32(long, 0)
	long = binary.LittleEndian.AppendUint32(long, crc32.Checksum(long, crc32.MakeTable(crc32.Castagnoli)))
	require.NoError(t, os.WriteFile(path, append(b, long...), 0o600))
	_, err := journal.Open(path)
	var damage *journal.DamageError
	require.ErrorAs(t, err, &damage)
	require.EqualValues(t, len(b), damage.Offset)
	require.Contains(t, damage.Reason, "the block takes 4294967295 bytes, want ")
}
