/*
 * Stands before main of http-parser's test.c, for one build and in a copy. What
 * that main tests runs as it is; then its input and what it demands are told.
 */
static FILE *culvert_file;
static int culvert_simple;

static void culvert_hex(const char *name, const char *bytes, size_t n) {
  fprintf(culvert_file, ",\"%s\":\"", name);
  for (size_t i = 0; i < n; i++) fprintf(culvert_file, "%02x", (unsigned char) bytes[i]);
  fputc('"', culvert_file);
}

static void culvert_begin(enum http_parser_type type, const char *name, const char *raw, const char *want) {
  if (culvert_file == NULL) {
    culvert_file = fopen(getenv("CULVERT_CASES"), "a");
    if (culvert_file == NULL) abort();
  }
  fprintf(culvert_file, "{\"kind\":\"%s\",\"want\":\"%s\",\"addHost\":true,\"name\":\"",
          type == HTTP_REQUEST ? "request" : "response", want);
  for (const char *c = name; *c; c++) fputc(*c == '"' || *c == '\\' ? ' ' : *c, culvert_file);
  fputc('"', culvert_file);
  culvert_hex("raw", raw, strlen(raw));
}

static void culvert_end(const char *group, const struct message *m) {
  if (m != NULL && m->type == HTTP_REQUEST) {
    fprintf(culvert_file, ",\"method\":\"%s\"", http_method_str(m->method));
    culvert_hex("target", m->request_url, strlen(m->request_url));
  }
  if (m != NULL) {
    fprintf(culvert_file, ",\"status\":%d", m->status_code);
    culvert_hex("body", m->body, strlen(m->body));
  }
  fprintf(culvert_file, ",\"group\":\"%s\"}\n", group);
  fflush(culvert_file);
}

static void culvert_message(const struct message *m) {
  test_message(m);
  culvert_begin(m->type, m->name, m->raw, "accept");
  culvert_end(m->type == HTTP_REQUEST ? "requests" : "responses", m);
}

/* A request three times on one connection. */
static void culvert_multiple(const struct message *a, const struct message *b, const struct message *c) {
  if (a != b || b != c || a->type != HTTP_REQUEST || a->upgrade) return;
  test_multiple3(a, b, c);
  culvert_begin(a->type, a->name, a->raw, "accept");
  fprintf(culvert_file, ",\"times\":3");
  culvert_end("pipelined", a);
}

static void culvert_test(const char *raw, enum http_errno demanded, enum http_parser_type type) {
  char name[16];
  test_simple_type(raw, demanded, type);
  snprintf(name, sizeof name, "%d", culvert_simple++);
  int whole = demanded == HPE_OK && num_messages > 0 && messages[0].message_complete_cb_called;
  culvert_begin(type, name, raw, whole ? "accept" : demanded == HPE_OK ? "incomplete" : "refuse");
  if (whole) messages[0].type = type;
  culvert_end("test_simple", whole ? &messages[0] : NULL);
}

#define test_message(m) culvert_message(m)
#define test_simple_type(raw, demanded, type) culvert_test(raw, demanded, type)
#define test_multiple3(a, b, c) culvert_multiple(a, b, c)
#define test_simple(raw, demanded) culvert_test(raw, demanded, HTTP_REQUEST)
/* These only combine and cut what has been told. */
#define test_message_pause(m) ((void) (m))
#define test_message_connect(m) ((void) (m))
#define test_scan(a, b, c) ((void) (a), (void) (b), (void) (c))
