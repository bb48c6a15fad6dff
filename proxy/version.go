package proxy

import "runtime/debug"

// Version is stamped by the build (-ldflags "-X culvert/proxy.Version=...").
var Version = "dev"

// buildVersion names the build for messages that must be traceable: the version, and the revision where it is known.
func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return Version + " (" + s.Value + ")"
			}
		}
	}
	return Version
}
