package journal_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/journal"
)

// binaryCodec is a codec that is no JSON.
var binaryCodec = journal.Codec[order]{
	Encode:      func(o order) ([]byte, error) { return append([]byte{0xff, 0, '\n'}, o.ID...), nil },
	Decode:      func(b []byte) (order, error) { return order{string(b[3:])}, nil },
	ContentType: "application/x-order",
}

// indentedCodec is JSON on several lines.
var indentedCodec = journal.Codec[order]{
	Encode:      func(o order) ([]byte, error) { return json.MarshalIndent(o, "", "  ") },
	Decode:      journal.JSON[order]().Decode,
	ContentType: "application/json",
}

// What a codec has stored, it and Replay read again.
func TestWithTopicStoresWithItsCodec(t *testing.T) {
	for name, c := range map[string]struct {
		codec  journal.Codec[order]
		stored string
	}{
		"binary":   {binaryCodec, `"/wAKQTE="`},
		"indented": {indentedCodec, `{"id":"A1"}`},
		"JSON":     {journal.JSON[order](), `{"id":"A1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			path := tempPath(t)
			j, err := journal.Open(path, journal.WithTopic(orders, c.codec))
			require.NoError(t, err)
			bus := newBus(t)
			j.Record(bus)
			require.NoError(t, orders.Publish(limited(t), bus, order{"A1"}))
			step(t, bus)
			require.NoError(t, j.Close())
			require.Equal(t, c.stored, string(read(t, path)[0].Data))
			manifests, err := journal.Manifests(path)
			require.NoError(t, err)
			require.Equal(t, c.codec.ContentType, manifests[0].Topics[0].ContentType)

			intents, err := journal.Pending(path, journal.By(orders, orderID, c.codec))
			require.NoError(t, err)
			require.Equal(t, "A1", intents[0].ID)
			again := newBus(t)
			var got []order
			orders.Subscribe(again, func(_ context.Context, o order) error { got = append(got, o); return nil })
			_, err = journal.Replay(limited(t), again, path, journal.WithTopic(orders, c.codec))
			require.NoError(t, err)
			require.Equal(t, []order{{"A1"}}, got)
		})
	}
}

// A codec that fails, lies about its content type or panics is an error, and no more.
func TestWithTopicContainsItsCodec(t *testing.T) {
	bad := errors.New("bad")
	failing, lying, panicking := binaryCodec, binaryCodec, binaryCodec
	failing.Encode = func(order) ([]byte, error) { return nil, bad }
	lying.ContentType = "application/json"
	panicking.Encode = func(order) ([]byte, error) { panic(bad) }
	for want, codec := range map[string]journal.Codec[order]{
		"bad":                        failing,
		"its encoding panicked: bad": panicking,
		"the codec says application/json and returned something else: invalid character 'ÿ' looking for beginning of value": lying,
	} {
		path := tempPath(t)
		var told error
		j, err := journal.Open(path, journal.WithTopic(orders, codec), journal.WithErrorHandler(func(err error) { told = err }))
		require.NoError(t, err)
		bus := newBus(t)
		j.Record(bus)
		require.NoError(t, orders.Publish(limited(t), bus, order{"A1"}))
		step(t, bus)
		require.NoError(t, j.Close())
		require.True(t, strings.HasSuffix(told.Error(), want), told)
		require.Equal(t, want, read(t, path)[0].Error)
		_, err = journal.Replay(limited(t), newBus(t), path, journal.WithTopic(orders, codec))
		require.ErrorContains(t, err, "record 1: the payload of order was not recorded: "+want)
	}

	path := tempPath(t)
	record(t, path, func(ctx context.Context, bus *eventbus.Bus) error { return orders.Publish(ctx, bus, order{"A1"}) })
	panicking = binaryCodec
	panicking.ContentType = "application/json"
	panicking.Decode = func([]byte) (order, error) { panic(bad) }
	_, err := journal.Replay(limited(t), newBus(t), path, journal.WithTopic(orders, panicking))
	require.ErrorContains(t, err, "the codec panicked: bad")
	_, err = journal.Replay(limited(t), newBus(t), path, journal.WithTopic(orders, binaryCodec))
	require.ErrorContains(t, err, "want base64 in a string")
}

// Payloads of an interface's type may be nil.
func TestWithTopicOfAnInterface(t *testing.T) {
	halts := eventbus.NewTopic[any]("halt", eventbus.OrderQueue)
	path := tempPath(t)
	j, err := journal.Open(path, journal.WithTopic(halts))
	require.NoError(t, err)
	bus := newBus(t)
	j.Record(bus)
	require.NoError(t, halts.Publish(limited(t), bus, nil))
	require.NoError(t, halts.Publish(limited(t), bus, "now"))
	step(t, bus)
	require.NoError(t, j.Close())
	again := newBus(t)
	var got []any
	halts.Subscribe(again, func(_ context.Context, v any) error { got = append(got, v); return nil })
	_, err = journal.Replay(limited(t), again, path, journal.WithTopic(halts))
	require.NoError(t, err)
	require.Equal(t, []any{nil, "now"}, got)
}
