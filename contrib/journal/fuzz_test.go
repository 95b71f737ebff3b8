package journal_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/contrib/journal"
)

// Whatever a file holds, readers end, with errors and not with panics. Open leaves a damaged
// file alone, and one that it accepts has no torn tail afterwards.
func FuzzRead(f *testing.F) {
	const manifest = `{"manifest":{"version":1,"session":1,"start":5}}` + "\n"
	const one = `{"n":1,"session":1,"queue":"data","seq":1,"type":"tick","time":0,"data":{"id":1}}` + "\n"
	const two = `{"n":2,"session":1,"queue":"order","seq":1,"type":"order","time":5,"cause":{"queue":"data","seq":1,"root":{"queue":"data","seq":1,"type":"tick","time":0},"hops":1}}` + "\n"
	whole := append(block(f, manifest+one), block(f, two)...)
	f.Add(whole, "")
	f.Add(whole[:len(whole)-3], "")
	f.Add(append(whole, make([]byte, 600)...), "")
	f.Add([]byte{}, manifest+one+two)
	f.Add(block(f, manifest), one+one)
	f.Add([]byte("text"), `{"n":1}`+"\n"+"\n\n[]\n")
	f.Fuzz(func(t *testing.T, file []byte, lines string) {
		if len(lines) > 0 { // whose checksums are right, so that the lines themselves are read
			file = append(file, block(t, lines)...)
		}
		path := filepath.Join(t.TempDir(), "day.journal")
		require.NoError(t, os.WriteFile(path, file, 0o600))
		last := uint64(0)
		for r, err := range journal.Recover(path) {
			if err != nil {
				continue
			}
			require.Greater(t, r.N, last)
			last = r.N
			_, err := json.Marshal(r)
			require.NoError(t, err)
		}
		_, _ = journal.Manifests(path)
		_, err := journal.Verify(path)
		_ = err
		_, _ = journal.Replay(t.Context(), newBus(t), path, replayTopics()...)
		j, err := journal.Open(path)
		if err != nil {
			var damage *journal.DamageError
			if errors.As(err, &damage) {
				left, err := os.ReadFile(path)
				require.NoError(t, err)
				require.Equal(t, file, left)
			}
			return
		}
		require.NoError(t, j.Close())
		report, err := journal.Verify(path)
		require.NoError(t, err)
		require.Zero(t, report.Torn)
	})
}
