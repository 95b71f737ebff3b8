package eventbusnats

import (
	"encoding/json"
	"errors"
	"fmt"
)

// A Codec says how a topic's payloads become bytes and back. It has the fields of a
// journal's codec, so that one pair of functions serves both. A topic calls the functions
// concurrently. A panic of theirs is the error of that call. [Open] panics if a field is
// missing.
type Codec[T any] struct {
	// Encode returns data as bytes, which are the topic's from then on.
	Encode func(data T) ([]byte, error)

	// Decode returns what Encode made stored of. An error sends the message to the dead
	// letters at once. stored is the caller's again after the return.
	Decode func(stored []byte) (T, error)

	// ContentType is the media type of the bytes, such as application/json.
	ContentType string
}

// JSON returns the codec that a topic has without [WithCodec]: encoding/json, with
// application/json as the content type.
func JSON[T any]() Codec[T] {
	return Codec[T]{
		Encode: func(data T) ([]byte, error) { return json.Marshal(data) },
		Decode: func(stored []byte) (data T, err error) {
			err = json.Unmarshal(stored, &data)
			return data, err
		},
		ContentType: "application/json",
	}
}

// check returns an error if a field is missing.
func (c Codec[T]) check() error {
	switch {
	case c.Encode == nil:
		return errors.New("the codec has no Encode")
	case c.Decode == nil:
		return errors.New("the codec has no Decode")
	case c.ContentType == "":
		return errors.New(`the codec has no ContentType, such as "application/json"`)
	}
	return nil
}

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
