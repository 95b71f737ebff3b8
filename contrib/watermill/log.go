package eventbuswatermill

import (
	"context"
	"log/slog"
)

// warnings returns l without what is below WARN: groups come and go, and each of their
// buses would tell at INFO that it starts and stops.
func warnings(l *slog.Logger) *slog.Logger { return slog.New(&warningHandler{l.Handler()}) }

type warningHandler struct{ slog.Handler }

// Enabled is false below WARN.
func (h *warningHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

// WithAttrs keeps the limit.
func (h *warningHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &warningHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the limit.
func (h *warningHandler) WithGroup(name string) slog.Handler {
	return &warningHandler{h.Handler.WithGroup(name)}
}
