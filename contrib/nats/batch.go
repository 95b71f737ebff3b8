package eventbusnats

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// Messages that are published one behind the other without waiting for the answers can end
// up in another order: one meets a moment without a leader, the next one does not, and the
// retry of the first comes after it. So many messages are stored as one atomic batch of the
// server: all of them, in order, or none. Only one batch of an exporter is in flight.

const (
	maxBatch      = 256     // the server takes 1000
	maxBatchBytes = 4 << 20 // the server keeps a batch aside until it is complete
)

const (
	headerBatchID     = "Nats-Batch-Id"
	headerBatchSeq    = "Nats-Batch-Sequence"
	headerBatchCommit = "Nats-Batch-Commit"
)

// storeAll stores messages in order, and returns how many are stored before the first that
// cannot be.
//
// A batch that fails, for whatever reason, is sent again message by message, each once the
// one before it is stored. That cannot store anything twice or in another order: if the
// batch was stored after all, each message is a duplicate; if it is committed late, after
// the first single message, the server refuses it for that duplicate; and if one message of
// it is what fails, those before it are stored.
func (s *stream) storeAll(ctx context.Context, ms []*nats.Msg, p *pace, r retry) (stored int, err error) {
	begun := time.Now()
	if len(ms) > 1 && s.storeBatch(ctx, ms) == nil {
		p.noteBatch(time.Since(begun))
		return len(ms), nil
	}
	for i, m := range ms {
		begun = time.Now()
		if _, err := s.store(ctx, m, r); err != nil {
			return i, err
		}
		p.noteSingle(time.Since(begun))
	}
	return len(ms), nil
}

// storeBatch stores messages as a batch, without retries.
func (s *stream) storeBatch(ctx context.Context, ms []*nats.Msg) error {
	_, err := s.node.callOnce(ctx, func(ctx context.Context) (verdict, error) {
		id := nuid.Next()
		last := len(ms) - 1
		for i, m := range ms[:last] {
			if err := s.node.out.PublishMsg(inBatch(m, id, i+1)); err != nil {
				return temporary, err
			}
		}
		commit := inBatch(ms[last], id, len(ms))
		commit.Header.Set(headerBatchCommit, "1")
		answer, err := s.node.out.RequestMsgWithContext(ctx, commit)
		if err != nil {
			return temporary, err
		}
		return temporary, checkCommit(answer.Data, len(ms))
	})
	return err
}

// inBatch returns m with the headers of its place in a batch. m stays as it is, to be sent
// alone.
func inBatch(m *nats.Msg, id string, n int) *nats.Msg {
	h := maps.Clone(m.Header)
	h[headerBatchID] = []string{id}
	h[headerBatchSeq] = []string{strconv.Itoa(n)}
	return &nats.Msg{Subject: m.Subject, Data: m.Data, Header: h}
}

// checkCommit returns nil if the server has stored a batch of n messages.
func checkCommit(answer []byte, n int) error {
	var a struct {
		Error *jetstream.APIError `json:"error"`
		Seq   uint64              `json:"seq"`
		Count int                 `json:"count"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return err
	}
	if a.Error != nil {
		return a.Error
	}
	if a.Seq == 0 || a.Count != n {
		return errors.New("the answer to the batch is not that of its commit")
	}
	return nil
}
