package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/eventbus-go/eventbus"
)

// A Codec says how the payloads of a type are stored. Each [Journal], and each call of [Replay]
// and [Pending], calls its functions on one goroutine; several of these may do so at a time.
// They may be called while others use the payload: they must not change it. A panic of theirs
// is an error.
type Codec[T any] struct {
	Encode func(data T) ([]byte, error)
	Decode func(stored []byte) (T, error)

	// ContentType names the encoding in the manifest. What Encode returns is stored as it
	// is if ContentType is "application/json", without the white space between its tokens;
	// anything else is stored in base64, as a JSON string.
	ContentType string
}

const contentTypeJSON = "application/json"

// JSON returns the codec that [WithTopic] uses unless it is given another one:
// encoding/json.
func JSON[T any]() Codec[T] {
	return Codec[T]{
		Encode: func(data T) ([]byte, error) { return json.Marshal(data) },
		Decode: func(stored []byte) (data T, err error) {
			err = json.Unmarshal(stored, &data)
			return data, err
		},
		ContentType: contentTypeJSON,
	}
}

// A payload is how the payloads of an event type are stored and read, without their type.
type payload struct {
	info   TopicInfo
	encode func(data any) ([]byte, error) // returns JSON
	decode func(stored json.RawMessage) (any, error)
}

// newPayload returns the payload of a topic. It panics with a message that begins with
// what if the topic or the codec is invalid.
func newPayload[T any](what string, topic eventbus.Topic[T], codecs []Codec[T]) payload {
	codec, err := checkCodec(topic, codecs)
	if err != nil {
		panic(fmt.Sprintf("journal: %s: %v", what, err))
	}
	isJSON, isDefault := codec.ContentType == contentTypeJSON, len(codecs) == 0
	return payload{
		info: TopicInfo{topic.Type(), topic.Queue(), codec.ContentType},
		encode: func(data any) ([]byte, error) {
			typed, err := payloadAs[T](topic.Type(), data)
			if err != nil {
				return nil, err
			}
			stored, err := codec.Encode(typed)
			switch {
			case err != nil || isDefault: // encoding/json leaves no white space
				return stored, err
			case isJSON:
				return compactJSON(stored)
			}
			return json.Marshal(stored)
		},
		decode: func(stored json.RawMessage) (any, error) {
			data, err := codec.decode(stored, isJSON)
			return data, err
		},
	}
}

func checkCodec[T any](topic eventbus.Topic[T], codecs []Codec[T]) (Codec[T], error) {
	if topic.Type() == "" {
		return Codec[T]{}, errors.New("the topic has no event type; make it with eventbus.NewTopic")
	}
	if len(codecs) > 1 {
		return Codec[T]{}, fmt.Errorf("%d codecs for %s, want one or none", len(codecs), topic.Type())
	}
	if len(codecs) == 0 {
		return JSON[T](), nil
	}
	c := codecs[0]
	switch {
	case c.Encode == nil:
		return c, fmt.Errorf("the codec of %s has no Encode", topic.Type())
	case c.Decode == nil:
		return c, fmt.Errorf("the codec of %s has no Decode", topic.Type())
	case c.ContentType == "":
		return c, fmt.Errorf("the codec of %s has no ContentType, such as %q", topic.Type(), contentTypeJSON)
	}
	return c, nil
}

func (c Codec[T]) decode(stored json.RawMessage, isJSON bool) (data T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the codec panicked: %v", p)
		}
	}()
	if isJSON {
		return c.Decode(stored)
	}
	var b []byte
	if err := json.Unmarshal(stored, &b); err != nil {
		return data, fmt.Errorf("want base64 in a string: %w", err)
	}
	return c.Decode(b)
}

// payloadAs returns data as a T. nil is a T if T is an interface.
func payloadAs[T any](t eventbus.EventType, data any) (typed T, err error) {
	typed, ok := data.(T)
	if !ok && (data != nil || reflect.TypeFor[T]().Kind() != reflect.Interface) {
		return typed, fmt.Errorf("the event carries a %T, the topic %s takes a %v", data, t, reflect.TypeFor[T]())
	}
	return typed, nil
}

// compactJSON returns b on one line. It is an error if b is not one JSON value.
func compactJSON(b []byte) ([]byte, error) {
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		return nil, fmt.Errorf("the codec says %s and returned something else: %w", contentTypeJSON, err)
	}
	return out.Bytes(), nil
}

// encodeAny encodes the payload of a type without a topic.
func encodeAny(data any) ([]byte, error) {
	if data == nil {
		return nil, nil
	}
	return json.Marshal(data)
}
