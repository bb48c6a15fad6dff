//go:build linux

package main

import (
	"fmt"
	"os"
	"time"

	"culvert/cmd/internal/configfile"
	"culvert/cmd/internal/settings"
)

// check looks for mistakes in a configuration file.
func check(i *settings.Invocation) int {
	if !configfile.Check(i.ConfigFile, i.JSON, os.Stdout, os.Stderr) {
		return exitUsage
	}
	return exitOK
}

// printConfig prints the configuration that counts.
func printConfig(i *settings.Invocation) int {
	i, file, ok := readConfig(i)
	if !ok {
		return exitUsage
	}
	fmt.Print(configfile.Effective(file, i))
	return exitOK
}

// readConfig reads the configuration file that an invocation names, and returns the invocation with what that says; the
// file is nil where none is named. What is wrong is told on standard error, a line each.
func readConfig(i *settings.Invocation) (*settings.Invocation, *configfile.File, bool) {
	i, file, wrong := withConfig(i)
	for _, line := range wrong {
		fmt.Fprintln(os.Stderr, line)
	}
	return i, file, len(wrong) == 0
}

// withConfig is readConfig for whoever tells in another way what is wrong: a line each. The file's warnings become the
// invocation's. What flags name is looked at too.
func withConfig(i *settings.Invocation) (with *settings.Invocation, file *configfile.File, wrong []string) {
	if i.ConfigFile == "" {
		return i, nil, configfile.FlagFiles(nil, i, time.Now())
	}
	file, problems := configfile.Load(i.ConfigFile)
	if file == nil {
		for _, p := range problems {
			wrong = append(wrong, p.String())
		}
		return nil, nil, wrong
	}
	with, err := i.With(file.Layer())
	if err != nil {
		return nil, nil, []string{"culvert: " + err.Error()}
	}
	for _, p := range problems {
		with.Warnings = append(with.Warnings, p.Plain())
	}
	return with, file, configfile.FlagFiles(file, with, time.Now())
}
