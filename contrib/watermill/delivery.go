package eventbuswatermill

import (
	"context"
	"reflect"

	"github.com/ThreeDotsLabs/watermill/message"
)

// A delivery is one attempt to let a subscription handle a message.
type delivery struct {
	sub     *subscription
	message *message.Message
	cancel  context.CancelFunc // of the message's context
}

// newDelivery returns a delivery of s to sub. ctx is the handler's: see messageContext.
func newDelivery(ctx context.Context, sub *subscription, s *stored) *delivery {
	ctx, cancel := context.WithCancel(ctx)
	d := &delivery{sub: sub, message: s.message(), cancel: cancel}
	d.message.SetContext(&messageContext{Context: ctx, broker: sub.group.broker, values: sub.values})
	return d
}

func newDeliveries(ctx context.Context, subs []*subscription, s *stored) []*delivery {
	ds := make([]*delivery, len(subs))
	for i, sub := range subs {
		ds[i] = newDelivery(ctx, sub, s)
	}
	return ds
}

// send returns d when the subscriber has taken the message, and nil if the
// subscriptions changed before or the group was stopped.
func (d *delivery) send(changed, stopped <-chan struct{}) *delivery {
	select {
	case d.sub.out <- d.message:
		d.sub.last = d.message
		return d
	case <-changed:
	case <-stopped:
	}
	d.cancel()
	return nil
}

// sendToAny is send to the first subscriber that takes its message.
func sendToAny(ds []*delivery, changed, stopped <-chan struct{}) (taken *delivery) {
	cases := make([]reflect.SelectCase, 0, len(ds)+2)
	for _, d := range ds {
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectSend, Chan: reflect.ValueOf(d.sub.out), Send: reflect.ValueOf(d.message)})
	}
	for _, end := range []<-chan struct{}{changed, stopped} {
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(end)})
	}
	chosen, _, _ := reflect.Select(cases)
	for i, d := range ds {
		if i != chosen {
			d.cancel()
			continue
		}
		d.sub.last, taken = d.message, d
	}
	return taken
}

// await waits until the delivery is over, ends the message's context and reports
// whether the message is acknowledged.
func (d *delivery) await(stopped <-chan struct{}) bool {
	defer d.cancel()
	select {
	case <-d.message.Acked():
		return true
	case <-d.message.Nacked():
		return false
	case <-d.sub.gone:
	case <-stopped:
	}
	select {
	case <-d.message.Acked():
		return true
	default:
		return false
	}
}
