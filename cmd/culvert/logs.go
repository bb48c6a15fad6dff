package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rs/zerolog"

	"culvert/cmd/internal/logsink"
	"culvert/cmd/internal/settings"
)

// logTime is the format of times in the log on standard error; the access log has the same.
const logTime = "2006-01-02T15:04:05.000Z07:00"

// logs are what the process writes to. The log on standard error is written at once, by whoever has something to say,
// never by a loop on its data path.
type logs struct {
	errors  zerolog.Logger
	console bool          // the log on standard error is for people
	access  *logsink.Sink // nil: off
}

// newErrorLog returns the log on standard error.
func newErrorLog(s *settings.Logs) (log zerolog.Logger, console bool) {
	zerolog.TimeFieldFormat = logTime
	zerolog.TimestampFunc = func() time.Time { return time.Now().UTC() }
	terminal := isTerminal(os.Stderr)
	console = s.LogFormat == "console" || s.LogFormat == "auto" && terminal
	var out io.Writer = os.Stderr
	if console {
		out = zerolog.ConsoleWriter{
			Out: os.Stderr, NoColor: !terminal || os.Getenv("NO_COLOR") != "", TimeFormat: time.TimeOnly, TimeLocation: time.Local,
		}
	}
	level, err := zerolog.ParseLevel(s.LogLevel) // the words of --log-level are zerolog's
	if err != nil {
		level = zerolog.InfoLevel
	}
	return zerolog.New(out).Level(level).With().Timestamp().Logger(), console
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// openAccessLog opens the access log, or returns nil where it is off.
func openAccessLog(s settings.AccessLog, log zerolog.Logger) (*logsink.Sink, error) {
	if s.Off {
		return nil, nil
	}
	sink, err := logsink.Open(logsink.Options{Path: s.Path, OnError: func(err error) {
		log.Error().Err(err).Str("access_log", s.Path).Msg("the access log cannot be written: its lines are dropped and counted")
	}})
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	return sink, nil
}

// writer returns what the proxy writes to: an interface that is nil where the log is off.
func (l *logs) writer() io.Writer {
	if l.access == nil {
		return nil
	}
	return l.access
}

func (l *logs) dropped() uint64 {
	if l.access == nil {
		return 0
	}
	return l.access.Dropped()
}

// reopen opens the access log's file again, after a rotation.
func (l *logs) reopen() {
	if l.access == nil {
		l.errors.Info().Msg("USR1: the access log is off")
		return
	}
	if err := l.access.Reopen(); err != nil {
		l.errors.Error().Err(err).Msg("USR1: the access log goes on where it was")
		return
	}
	l.errors.Info().Msg("USR1: the access log's file was opened again")
}
