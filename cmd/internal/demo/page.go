package demo

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"net/http"
)

//go:embed page.html
var page []byte

// pagePolicy allows the page its own style and script, by their hashes, and a
// connection back to where it came from: nothing else.
var pagePolicy = fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; connect-src 'self'; "+
	"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	elementHash(page, "style"), elementHash(page, "script"))

// elementHash returns the source expression (CSP level 3, section 2.3.1) of the
// one inline element of that name.
func elementHash(document []byte, name string) string {
	_, rest, _ := bytes.Cut(document, []byte("<"+name+">"))
	content, _, _ := bytes.Cut(rest, []byte("</"+name+">"))
	sum := sha256.Sum256(content)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func servePage(w http.ResponseWriter, _ *http.Request) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", pagePolicy)
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(page) // a client that is gone needs no answer
}
