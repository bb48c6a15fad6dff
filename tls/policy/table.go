package policy

import (
	"crypto/tls"
	"slices"
)

// strictSuites have forward secrecy.
var strictSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
}

// wideSuites accept clients that know neither forward secrecy nor AES.
var wideSuites = append(slices.Clone(strictSuites),
	tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_RSA_WITH_AES_128_CBC_SHA256,
	tls.TLS_RSA_WITH_AES_128_CBC_SHA,
	tls.TLS_RSA_WITH_AES_256_CBC_SHA,
	tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA,
)

// guidelineSuites are AEADs with forward secrecy: those of Guideline, complete.
var guidelineSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// Key exchanges. P-521 is in the product's policies because it is the curve of some certificates, which in
// TLS 1.2 must be among those that both sides accept (RFC 8422, section 5.1).
var (
	productCurves   = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	product13Curves = append([]tls.CurveID{tls.X25519MLKEM768}, productCurves...)
	guidelineCurves = []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384}
)

// What the policies name and crypto/tls lacks.
var (
	strictMissing = []string{"ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES256-SHA384"}
	wideMissing   = append(slices.Clone(strictMissing), "AES256-SHA256")
	ccmMissing    = append(slices.Clone(strictMissing), "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256")
)

var policies = []*Policy{
	{"tls_cipher_policy_1_0", tls.VersionTLS10, tls.VersionTLS12, wideSuites, productCurves, wideMissing},
	{"tls_cipher_policy_1_1", tls.VersionTLS11, tls.VersionTLS12, wideSuites, productCurves, wideMissing},
	{"tls_cipher_policy_1_2", tls.VersionTLS12, tls.VersionTLS12, wideSuites, productCurves, wideMissing},
	{"tls_cipher_policy_1_2_strict", tls.VersionTLS12, tls.VersionTLS12, strictSuites, productCurves, strictMissing},
	{"tls_cipher_policy_1_2_strict_with_1_3", tls.VersionTLS12, tls.VersionTLS13, strictSuites, product13Curves, ccmMissing},
	{"intermediate", tls.VersionTLS12, tls.VersionTLS13, guidelineSuites, guidelineCurves, nil},
	{"modern", tls.VersionTLS13, tls.VersionTLS13, nil, guidelineCurves, nil},
}
