package eventbusnats_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	eventbusnats "github.com/eventbus-go/eventbus/contrib/nats"
)

const placedStream = "EVENTBUS_order=2Eplaced"

// Open creates what is absent, with what the options say, and opens what is there.
func TestOpenCreatesWhatIsAbsent(t *testing.T) {
	n := newNode(t)
	opts := []eventbusnats.TopicOption{
		eventbusnats.WithMaxBytes(1 << 20), eventbusnats.WithMaxAge(time.Hour), eventbusnats.WithDuplicates(time.Minute), eventbusnats.WithReplicas(1),
	}
	topic := openTopic(t, n, opts...)
	require.Equal(t, placedStream, topic.Stream())
	s, err := tools(t, n).Stream(within(t, patience), placedStream)
	require.NoError(t, err)
	c := s.CachedInfo().Config
	require.Equal(t, []string{"eventbus.order=2Eplaced"}, c.Subjects)
	require.EqualValues(t, 1<<20, c.MaxBytes)
	require.Equal(t, time.Hour, c.MaxAge)
	require.Equal(t, time.Minute, c.Duplicates)
	require.Equal(t, jetstream.DiscardNew, c.Discard)
	require.Equal(t, jetstream.DefaultPersistMode, c.PersistMode)

	publish(t, topic, 0, 1)
	publish(t, openTopic(t, n, opts...), 1, 2)
	require.Len(t, inStream(t, n, placedStream), 2)
}

// What differs is refused with the field, what it has and what is wanted, and stays as it is.
func TestOpenRefusesWhatDiffers(t *testing.T) {
	n := newNode(t)
	publish(t, openTopic(t, n, eventbusnats.WithMaxBytes(1<<20)), 0, 3)
	_, err := eventbusnats.Open(within(t, patience), n, placed, eventbusnats.WithMaxBytes(1<<10), eventbusnats.WithMaxAge(time.Hour))
	require.ErrorIs(t, err, eventbusnats.ErrDiffers)
	require.ErrorContains(t, err, "stream "+placedStream)
	require.ErrorContains(t, err, "MaxBytes is 1048576, want 1024")
	require.ErrorContains(t, err, "MaxAge is 0s, want 1h0m0s")
	require.NotContains(t, err.Error(), "Storage")
	require.Len(t, inStream(t, n, placedStream), 3, "nothing is deleted")

	fills := eventbus.NewTopic[order]("fill", eventbus.OrderQueue)
	_, err = tools(t, n).CreateStream(within(t, patience), jetstream.StreamConfig{
		Name: "EVENTBUS_fill", Subjects: []string{"eventbus.fill"}, PersistMode: jetstream.AsyncPersistMode, Discard: jetstream.DiscardNew,
		MaxBytes: 1 << 30, Duplicates: 2 * time.Minute,
	})
	require.NoError(t, err)
	_, err = eventbusnats.Open(within(t, patience), n, fills)
	require.ErrorIs(t, err, eventbusnats.ErrDiffers)
	require.ErrorContains(t, err, "PersistMode is Async, want Default", "which would lose what is acknowledged")
	require.ErrorContains(t, err, "AllowAtomicPublish is false, want true")
}

// The names of types and groups are free text: a star is no wildcard, a dot no second token.
// No two names share a stream.
func TestOpenTakesOddNames(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	names := []string{"order.*", "order.>", "order", "order.", "BRK.B", "BRK=2EB", "BRK/B", `a\b`, "a b", " a b ", "tab\there", "line\nbreak\r", "größe", "日本", "\xff\x00", "*", ">", "$JS", "-_", "%41", `"`}
	b := newBus(t)
	type seen struct {
		eventType string
		data      string
		m         eventbusnats.Message
		source    string
	}
	got := newRecorder[seen]()
	record := func(ctx context.Context, e eventbus.Event) error {
		m, _ := eventbus.Carried[eventbusnats.Message](ctx)
		got.add(seen{string(e.Type), e.Data.(string), m, e.Source})
		return nil
	}
	b.SubscribeMatch("*", eventbus.HandlerFunc(record))
	b.SubscribeFunc("BRK/B", record) // a pattern's star takes no slash
	for i, name := range names {
		topic, err := eventbusnats.Open(within(t, patience), n, eventbus.NewTopic[string](eventbus.EventType(name), eventbus.DataQueue),
			eventbusnats.WithID(func(string) string { return "id of " + name }), eventbusnats.WithSource(name), eventbusnats.WithMaxBytes(1<<20))
		require.NoError(t, err, "%q", name)
		stored, err := topic.Publish(within(t, patience), fmt.Sprint(i))
		require.NoError(t, err)
		require.Equal(t, eventbusnats.Stored{ID: "id of " + name, Sequence: 1}, stored, "%q has a stream of its own", name)
		_, err = topic.Import(within(t, patience), b, name)
		require.NoError(t, err)
		list := got.awaitN(t, i+1)
		require.Equal(t, seen{name, fmt.Sprint(i), eventbusnats.Message{ID: "id of " + name, Stream: topic.Stream(), Sequence: 1, Group: name, Attempt: 1}, name}, list[i])
	}
}

func TestOpenRefusesNamesThatAreTooLong(t *testing.T) {
	n := newNode(t)
	open := func(name string) (*eventbusnats.Topic[int], error) {
		return eventbusnats.Open(within(t, patience), n, eventbus.NewTopic[int](eventbus.EventType(name), eventbus.DataQueue), eventbusnats.WithMaxBytes(1<<20))
	}
	topic, err := open(strings.Repeat("x", 220))
	require.NoError(t, err)
	_, err = topic.Import(within(t, patience), newBus(t), strings.Repeat("g", 220))
	require.NoError(t, err)
	_, err = topic.Import(within(t, patience), newBus(t), strings.Repeat("g", 221))
	require.ErrorContains(t, err, "is 221 bytes long when escaped, at most 220 fit")
	_, err = open(strings.Repeat(".", 74))
	require.ErrorContains(t, err, "is 222 bytes long when escaped, at most 220 fit")
}

func TestOpenPanicsOnMisuse(t *testing.T) {
	n := newNode(t)
	open := func(opts ...eventbusnats.TopicOption) func() {
		return func() { _, _ = eventbusnats.Open(t.Context(), n, placed, opts...) }
	}
	noEncode, noDecode, noType := eventbusnats.JSON[order](), eventbusnats.JSON[order](), eventbusnats.JSON[order]()
	noEncode.Encode, noDecode.Decode, noType.ContentType = nil, nil, ""
	for want, f := range map[string]func(){
		"the node is nil": func() { _, _ = eventbusnats.Open(t.Context(), nil, placed) },
		"the topic has no type: want one of eventbus.NewTopic": func() {
			_, _ = eventbusnats.Open(t.Context(), n, eventbus.Topic[int]{})
		},
		"an option is nil":            open(nil),
		"WithID: the function is nil": open(eventbusnats.WithID[order](nil)),
		"WithID: the function is a func(int) string, want a func(eventbusnats_test.order) string": open(eventbusnats.WithID(func(int) string { return "" })),
		"WithCodec: the codec has no Encode":                                                      open(eventbusnats.WithCodec(noEncode)),
		"WithCodec: the codec has no Decode":                                                      open(eventbusnats.WithCodec(noDecode)),
		"WithCodec: the codec has no ContentType, such as \"application/json\"":                   open(eventbusnats.WithCodec(noType)),
		"WithMaxBytes: the limit is 0 bytes, want more than 0":                                    open(eventbusnats.WithMaxBytes(0)),
		"WithMaxAge: the age is 1ms, want a second or more":                                       open(eventbusnats.WithMaxAge(time.Millisecond)),
		"WithReplicas: 2 replicas, want 1, 3 or 5":                                                open(eventbusnats.WithReplicas(2)),
		"WithDuplicates: the window is 0s, want a second or more":                                 open(eventbusnats.WithDuplicates(0)),
		"WithDuplicates: the window of 1h0m0s is longer than the maximum age of 1m0s":             open(eventbusnats.WithDuplicates(time.Hour), eventbusnats.WithMaxAge(time.Minute)),
		"WithSource: the source is empty":                                                         open(eventbusnats.WithSource("")),
	} {
		require.PanicsWithValue(t, "eventbusnats: Open: "+want, f)
	}
	require.Panics(t, open(eventbusnats.WithCodec(eventbusnats.JSON[int]())))
}
