// Package exhaustion holds the tests that run a whole proxy out of something: ports, descriptors, memory, or all its
// tunnels at once. Each runs in a process of its own, for these limits belong to processes and network namespaces.
package exhaustion
