package eventbusnats

import (
	"encoding/json"
	"fmt"
)

// A Codec makes bytes of a topic's payloads and payloads of bytes. A topic calls it
// concurrently. A panic of it is the error of that call.
type Codec[T any] interface {
	// Encode returns data as bytes, which are the topic's from then on.
	Encode(data T) ([]byte, error)

	// Decode returns what Encode made b of. An error sends the message to the dead
	// letters at once. b is the caller's again after the return.
	Decode(b []byte) (T, error)

	// ContentType is the media type of the bytes, such as application/json.
	ContentType() string
}

// JSON returns the codec that a topic has without [WithCodec]: encoding/json, with
// application/json as the content type.
func JSON[T any]() Codec[T] { return jsonCodec[T]{} }

type jsonCodec[T any] struct{}

func (jsonCodec[T]) Encode(data T) ([]byte, error) { return json.Marshal(data) }

func (jsonCodec[T]) Decode(b []byte) (data T, err error) {
	err = json.Unmarshal(b, &data)
	return data, err
}

func (jsonCodec[T]) ContentType() string { return "application/json" }

// protect calls code that is not this package's. Its panic becomes an error that names
// what panicked.
func protect(what string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%s panicked: %v", what, v)
		}
	}()
	return f()
}
