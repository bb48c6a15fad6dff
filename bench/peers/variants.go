package peers

import (
	"context"
	"errors"
	"os"
	"strconv"
)

// A variant is Culvert with other settings than its contender has.
type variant struct {
	name  string
	loops int
	extra []string // further flags
}

// variantsWork measures CPU time per message of variants of Culvert beside each other, each in a process of its own.
// With `shared`, all processes may use all CPUs, since several loops are to have several.
func variantsWork(row Row, load echoLoad, shared bool, variants ...variant) work {
	return work{
		rows:     []Row{row},
		tunnels:  load.tunnels,
		nominal:  (warmUp + measured).Seconds(),
		variants: len(variants),
		stations: func(ctx context.Context, b *Bench) ([]station, error) {
			return b.variantStations(ctx, variants, shared)
		},
		prepare: func(ctx context.Context, b *Bench, s station) (session, error) {
			opened, err := b.openEcho(ctx, s.proxy, load)
			if err != nil {
				b.stop(s.proxy.process)
				return nil, err
			}
			return &variantSession{opened, b}, nil
		},
	}
}

// variantStations starts the variants. Where there are four CPUs or more, those that share CPUs leave two to the load.
func (b *Bench) variantStations(ctx context.Context, variants []variant, shared bool) ([]station, error) {
	culvert := Contenders()[0]
	if _, ok := b.paths[culvert.Program]; !ok {
		return nil, nil
	}
	server, err := b.backend(ctx, culvert.Name)
	if err != nil {
		return nil, err
	}
	proxies := b.proxyCPUs()
	if shared {
		all := b.cpus
		proxies = all
		if len(all) >= 4 && !b.options.Unpinned {
			proxies, all = all[:len(all)-2], all[len(all)-2:]
		}
		if err := b.placeLoad(all); err != nil {
			return nil, err
		}
	}
	var list []station
	for _, v := range variants {
		p, err := b.startProxy(ctx, culvert, launch{backend: server.address, cpus: proxies, loops: v.loops, extra: v.extra})
		if err != nil {
			return nil, err
		}
		list = append(list, station{v.name, "Culvert, " + v.name, culvert, p})
	}
	return list, nil
}

// placeLoad lets the generator and Culvert's backend run on the given CPUs.
func (b *Bench) placeLoad(cpus []int) error {
	return errors.Join(setAffinity(b.backends[ProgramCulvert].pid(), cpus), setAffinity(os.Getpid(), cpus))
}

// variantSession is an echo through a process that ends with it.
type variantSession struct {
	*echoSession
	bench *Bench
}

func (s *variantSession) release(ctx context.Context) error {
	err := s.echoSession.release(ctx)
	s.bench.stop(s.proxy.process)
	return errors.Join(err, s.bench.placeLoad(s.bench.loadCPUs()))
}

// loopsWork compares Culvert with itself: what two loops on two CPUs cost.
func loopsWork() work {
	return variantsWork(Row{
		Name: "two-loops", Title: "125 B echo on 100 tunnels, two loops on two CPUs", Unit: microsecondsPerMessage,
		Subject: "two loops", Targets: []Target{against("one loop", 1.1)},
	}, echoLoad{tunnels: fewTunnels, size: sizeSmall}, true, variant{name: "one loop", loops: 1}, variant{name: "two loops", loops: 2})
}

// Names of the curves: of their files, and of their rows up to the slash.
const (
	curveLoops           = "loops"
	curveReadBuffer      = "read-buffer"
	curveSpliceThreshold = "splice-threshold"
)

// curveWorks measure what the settings of the data path trade. Each row is one line of a curve, each variant a point.
func curveWorks() []work {
	row := func(curve, line string) Row {
		return Row{Name: curve + "/" + line, Title: line, Unit: microsecondsPerMessage, Targets: []Target{}}
	}
	var loops, buffers, copying, thresholds []variant
	for _, n := range []int{1, 2, 3, 4} {
		loops = append(loops, variant{name: strconv.Itoa(n), loops: n})
	}
	for _, size := range []string{"4KiB", "8KiB", "16KiB", "32KiB", "64KiB", "128KiB", "256KiB", "512KiB", "1MiB"} {
		buffers = append(buffers, variant{name: size, extra: []string{"--read-buffer", size}})
		copying = append(copying, variant{name: size, extra: []string{"--read-buffer", size, "--splice-threshold", "0"}})
	}
	for _, size := range []string{"4KiB", "16KiB", "32KiB", "64KiB", "128KiB", "256KiB", "1MiB"} {
		thresholds = append(thresholds, variant{name: size, extra: []string{"--splice-threshold", size}})
	}
	thresholds = append(thresholds, variant{name: "0", extra: []string{"--splice-threshold", "0"}})
	threshold := func(line string, size int) work {
		return variantsWork(row(curveSpliceThreshold, line), echoLoad{tunnels: 1, size: size}, false, thresholds...)
	}
	return []work{
		variantsWork(row(curveLoops, "125 B, 100 tunnels"), echoLoad{tunnels: fewTunnels, size: sizeSmall}, true, loops...),
		variantsWork(row(curveLoops, "16 KiB, 100 tunnels"), echoLoad{tunnels: fewTunnels, size: size16K}, true, loops...),
		variantsWork(row(curveReadBuffer, "125 B"), echoLoad{tunnels: 1, size: sizeSmall}, false, buffers...),
		variantsWork(row(curveReadBuffer, "16 KiB"), echoLoad{tunnels: 1, size: size16K}, false, buffers...),
		variantsWork(row(curveReadBuffer, "1 MiB, copied"), echoLoad{tunnels: 1, size: size1M}, false, copying...),
		threshold("16 KiB", size16K), threshold("64 KiB", 64<<10), threshold("256 KiB", 256<<10), threshold("1 MiB", size1M),
	}
}
