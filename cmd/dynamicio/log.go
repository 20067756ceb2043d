package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// parseLevel reads --log-level.
func parseLevel(level string) (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return l, usagef(`--log-level is %q, must be "debug", "info", "warn" or "error"`, level)
	}
	return l, nil
}

// newLogger makes the process's logger. It is called once: the Redis client
// has one logger for all.
func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	l, err := parseLevel(level)
	if err != nil {
		return nil, err
	}
	opts := &slog.HandlerOptions{Level: l}
	log := slog.New(slog.NewTextHandler(w, opts))
	if format == "json" {
		log = slog.New(slog.NewJSONHandler(w, opts))
	}
	redis.SetLogger(redisLog{log})
	return log, nil
}

// redisLog takes what the Redis client says of its connections, which our own
// log says in fewer words.
type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(ctx context.Context, format string, args ...any) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, fmt.Sprintf(format, args...))
	}
}
