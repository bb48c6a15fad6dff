package proxy_test

var extraCases []hostileCase

func extraTests() []hostileTest { return nil }
