//go:build linux

package main

import (
	"context"
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

// flushTimeout bounds the writing of lines that are still queued at the end, for each log.
const flushTimeout = 2 * time.Second

// logs are what the process writes to. Neither waits for its reader.
type logs struct {
	errors  zerolog.Logger
	console bool          // the log on standard error is for people
	queue   *logsink.Sink // of the log on standard error; nil: it is written at once
	access  *logsink.Sink // nil: off
}

// openLogs opens both logs.
func openLogs(s *settings.Logs) (logs, error) {
	var l logs
	var err error
	// A reader that stands still must not keep a signal from being acted on.
	if l.queue, err = logsink.Open(logsink.Options{Descriptor: unix.Stderr}); err != nil {
		return l, fmt.Errorf("log: %w", err)
	}
	terminal := isTerminal(os.Stderr)
	l.console = s.LogFormat == "console" || s.LogFormat == "auto" && terminal
	l.errors = newErrorLog(s.LogLevel, l.console, terminal, lastWords{l.queue, os.Stderr})
	if s.AccessLog.Off {
		return l, nil
	}
	path, log := s.AccessLog.Path, l.errors
	l.access, err = logsink.Open(logsink.Options{Path: path, OnError: func(err error) {
		log.Error().Err(err).Str("access_log", path).Msg("the access log cannot be written: its lines are dropped and counted")
	}})
	if err != nil {
		l.close()
		return l, fmt.Errorf("access log: %w", err)
	}
	return l, nil
}

// newErrorLog returns a logger that writes JSON, or for people, to out.
func newErrorLog(level string, console, colours bool, out lastWords) zerolog.Logger {
	zerolog.TimeFieldFormat = logTime
	zerolog.TimestampFunc = func() time.Time { return time.Now().UTC() }
	if console {
		out.queued, out.direct = forPeople(out.queued, colours), forPeople(out.direct, colours)
	}
	least, err := zerolog.ParseLevel(level) // the words of --log-level are zerolog's
	if err != nil {
		least = zerolog.InfoLevel
	}
	return zerolog.New(out).Level(least).With().Timestamp().Logger()
}

func forPeople(out io.Writer, colours bool) io.Writer {
	return zerolog.ConsoleWriter{
		Out: out, NoColor: !colours || os.Getenv("NO_COLOR") != "", TimeFormat: time.TimeOnly, TimeLocation: time.Local,
	}
}

// lastWords writes lines through a queue, but at once those after which the process ends.
type lastWords struct{ queued, direct io.Writer }

// Write implements io.Writer.
func (w lastWords) Write(p []byte) (int, error) { return w.queued.Write(p) }

// WriteLevel implements zerolog.LevelWriter.
func (w lastWords) WriteLevel(level zerolog.Level, p []byte) (int, error) {
	if level == zerolog.FatalLevel || level == zerolog.PanicLevel {
		return w.direct.Write(p)
	}
	return w.queued.Write(p)
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
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

// closeAccess writes what is queued for the access log, and closes it.
func (l *logs) closeAccess() {
	if err := closeSink(l.access); err != nil {
		l.errors.Warn().Err(fmt.Errorf("access log: %w", err)).Msg("lines that nobody took in time are lost")
	}
}

// close closes both logs; what is logged after that is lost.
func (l *logs) close() {
	l.closeAccess()
	_ = closeSink(l.queue) // there is nobody left to be told
}

// closeSink writes what is queued, for a bounded time, and closes the sink if there is one.
func closeSink(sink *logsink.Sink) error {
	if sink == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	return sink.Close(ctx)
}
