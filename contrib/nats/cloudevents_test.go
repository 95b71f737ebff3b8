package eventbusnats_test

import (
	"context"
	"testing"
	"time"

	cejetstream "github.com/cloudevents/sdk-go/protocol/nats_jetstream/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	eventbusnats "github.com/eventbus-go/eventbus/contrib/nats"
)

// A stored message is a CloudEvent in the binary mode of the NATS binding: the SDK of
// CloudEvents reads it, whether it was published or exported, alone or in a batch.
func TestPublishStoresCloudEvents(t *testing.T) {
	n := newNode(t)
	csv := eventbusnats.JSON[order]()
	csv.ContentType = "text/csv;header=absent"
	topic, err := eventbusnats.Open(within(t, patience), n, placed, eventbusnats.WithID(orderID), eventbusnats.WithSource("//desk/strategy"),
		eventbusnats.WithCodec(csv))
	require.NoError(t, err)
	publish(t, topic, 0, 1)
	b := newBus(t)
	x := export(t, topic, b)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6789, time.UTC)
	require.NoError(t, b.Pause(eventbus.OrderQueue))
	for i := 1; i < 3; i++ {
		require.NoError(t, placed.PublishEvent(t.Context(), b, eventbus.Event{Type: placed.Type(), Data: newOrder(i), Source: "feed", Time: at}))
	}
	require.NoError(t, b.Resume(eventbus.OrderQueue))
	flush(t, b, x)

	messages := inStream(t, n, topic.Stream())
	require.Len(t, messages, 3)
	for i, m := range messages {
		e, err := binding.ToEvent(context.Background(), readBySDK(m))
		require.NoError(t, err)
		require.NoError(t, e.Validate())
		require.Equal(t, "1.0", e.SpecVersion())
		require.Equal(t, newOrder(i).ID, e.ID())
		require.Equal(t, "order.placed", e.Type())
		require.Equal(t, "text/csv;header=absent", e.DataContentType())
		got, err := eventbusnats.JSON[order]().Decode(e.Data())
		require.NoError(t, err)
		require.Equal(t, newOrder(i), got)
		if i == 0 {
			require.Equal(t, "//desk/strategy", e.Source())
			require.WithinDuration(t, time.Now(), e.Time(), patience)
		} else {
			require.Equal(t, "feed", e.Source())
			require.True(t, at.Equal(e.Time()), "%v", e.Time())
		}
	}
}

// readBySDK returns a message as the SDK reads it.
func readBySDK(m jetstream.Msg) binding.Message {
	return cejetstream.NewMessage(&nats.Msg{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
}
