package eventbusotel

import (
	"strconv"

	"go.opentelemetry.io/otel/attribute"

	"github.com/eventbus-go/eventbus"
)

// The names follow version 1.41 of the semantic conventions for messaging, which are in
// development: when they change, this file does. An event type is what they call a
// destination, a handler's name a subscription.
const (
	systemKey          = attribute.Key("messaging.system")
	operationNameKey   = attribute.Key("messaging.operation.name")
	operationTypeKey   = attribute.Key("messaging.operation.type")
	destinationKey     = attribute.Key("messaging.destination.name")
	subscriptionKey    = attribute.Key("messaging.destination.subscription.name")
	messageIDKey       = attribute.Key("messaging.message.id")
	errorTypeKey       = attribute.Key("error.type")
	queueKey           = attribute.Key("eventbus.queue")
	sourceKey          = attribute.Key("eventbus.source")
	system             = "eventbus"
	processOperation   = "process"
	publishOperation   = "publish"
	sendOperationType  = "send" // the conventions' word for a publish
	panicType          = "panic"
	messageIDSeparator = "/"
)

func processName(t eventbus.EventType) string { return processOperation + " " + string(t) }

func publishName(t eventbus.EventType) string { return publishOperation + " " + string(t) }

// processAttributes are those of a handler's span.
func processAttributes(d eventbus.Delivery) []attribute.KeyValue {
	return append(eventAttributes(d),
		operationNameKey.String(processOperation),
		operationTypeKey.String(processOperation),
		subscriptionKey.String(d.Handler))
}

// publishAttributes are those of a root.
func publishAttributes(d eventbus.Delivery) []attribute.KeyValue {
	return append(eventAttributes(d),
		operationNameKey.String(publishOperation),
		operationTypeKey.String(sendOperationType))
}

// eventAttributes are those that say which event it is. Its number is unique in its queue
// as long as the bus lives.
func eventAttributes(d eventbus.Delivery) []attribute.KeyValue {
	queue := d.Queue.String()
	return append(make([]attribute.KeyValue, 0, 8),
		systemKey.String(system),
		destinationKey.String(string(d.Event.Type)),
		messageIDKey.String(queue+messageIDSeparator+strconv.FormatUint(d.Seq, 10)),
		queueKey.String(queue),
		sourceKey.String(d.Event.Source))
}
