package journal

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

// The parser that knows how lines are written and encoding/json read the same of a line.
func TestParseRecordReadsWhatJSONReads(t *testing.T) {
	cause := &Cause{Queue: 1, Seq: 7, Hops: 3, Root: Origin{Queue: 2, Seq: 1, Type: "tick", Time: -5}}
	for _, r := range []Record{
		{N: 1, Session: 1, Seq: 1, Type: "tick"},
		{N: 1e18, Session: 12, Queue: 2, Seq: 1 << 60, Type: "tick", Source: "feed", Time: math.MaxInt64, Cause: cause, Data: json.RawMessage(`{"a":"}"}`)},
		{N: 3, Session: 1, Queue: 1, Seq: 2, Type: "a b", Time: -17, Error: "it is NaN", Cause: cause},
		{N: 3, Session: 1, Seq: 2, Type: "<ü>", Source: `"\`, Data: json.RawMessage(`null`)},
		{N: math.MaxUint64, Session: 1, Seq: 1, Type: "tick", Time: math.MinInt64},
	} {
		b := appendRecord(nil, &r)
		var slow Record
		require.NoError(t, json.Unmarshal(b, &slow))
		require.Equal(t, r, slow)
		fast, ok := parseRecord(b[:len(b)-1])
		plain := isPlain(string(r.Type)) && r.N < math.MaxUint64
		require.Equal(t, plain, ok, "%s", b)
		if ok {
			require.Equal(t, r, fast)
		}
		whole, err := parseLine(b[:len(b)-1])
		require.NoError(t, err)
		require.Equal(t, line{Record: r}, whole)
	}
	for _, b := range []string{`{}`, `{"n":`, `{"n":1,"session":1,"queue":"datum","seq":1,"type":"tick","time":0}`, `{"n":1,"session":1,"queue":"data","seq":1,"type":"tick","time":0,"data":}`,
		`{"n":1,"session":1,"queue":"data","seq":1,"type":"tick","time":0,"data":[}`, `{"n":1,"session":1,"queue":"data","seq":1,"type":"tick","time":0}}`} {
		_, ok := parseRecord([]byte(b))
		require.False(t, ok, b)
	}
	require.EqualValues(t, 1, eventbus.SignalQueue)
}
