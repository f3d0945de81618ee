package server

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"google.golang.org/grpc/metadata"
)

// NewLogger writes one JSON object per line, with the trace of the call that a line belongs to. The proxy in front writes the
// access log, so this service says only what the proxy cannot know.
func NewLogger(to io.Writer, level slog.Level) *slog.Logger {
	return slog.New(traced{slog.NewJSONHandler(to, &slog.HandlerOptions{Level: level})})
}

// traced adds the W3C trace id and the correlation id of the incoming call.
type traced struct{ slog.Handler }

func (t traced) Handle(ctx context.Context, record slog.Record) error {
	call, _ := metadata.FromIncomingContext(ctx)
	for _, parent := range call.Get("traceparent") {
		// version "-" trace-id "-" parent-id "-" flags
		if parts := strings.Split(parent, "-"); len(parts) >= 4 && len(parts[1]) == 32 {
			record.AddAttrs(slog.String("trace_id", parts[1]))
		}
	}
	for _, baggage := range call.Get("baggage") {
		for member := range strings.SplitSeq(baggage, ",") {
			if id, ok := strings.CutPrefix(strings.TrimSpace(member), "correlation-id="); ok {
				record.AddAttrs(slog.String("correlation_id", id))
			}
		}
	}
	return t.Handler.Handle(ctx, record)
}

func (t traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{t.Handler.WithAttrs(attrs)} }
func (t traced) WithGroup(name string) slog.Handler       { return traced{t.Handler.WithGroup(name)} }
