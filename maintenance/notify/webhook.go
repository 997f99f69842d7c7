package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxWait bounds what a server may ask for by Retry-After.
const maxWait = time.Minute

// client follows no redirect: an answer from elsewhere, such as a login page,
// says nothing. It keeps no connection, since days may pass until the next use.
var client = &http.Client{
	Transport:     newTransport(),
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true
	t.MaxResponseHeaderBytes = 64 << 10
	return t
}

// post sends a body and wants a status of 2xx. Its errors hold neither the URL,
// but for its host, nor what the server sent, which may repeat it.
func post(ctx context.Context, to string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return finalError{errors.New("the URL is not valid")}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "partitiond")
	response, err := client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errors.New(redact(err, request.URL))
	}
	// The status says it all. What follows is not read, however much it is.
	_ = response.Body.Close()
	status := response.StatusCode
	if status/100 == 2 {
		return nil
	}
	err = fmt.Errorf("the server answers %d %s", status, http.StatusText(status))
	switch {
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		if seconds, convErr := strconv.Atoi(response.Header.Get("Retry-After")); convErr == nil && seconds > 0 {
			return laterError{err, min(maxWait, time.Duration(seconds)*time.Second)}
		}
		return err
	case status >= 500 || status == http.StatusRequestTimeout:
		return err
	}
	return finalError{err}
}

// redact says what went wrong without the URL, which net/http puts before it, and
// without its parts, should the error behind repeat them.
func redact(err error, u *url.URL) string {
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err
	}
	text := oneLine(err.Error(), 300)
	secrets := []string{u.String(), u.RequestURI(), u.EscapedPath(), u.Path, u.RawQuery, u.User.String()}
	if password, ok := u.User.Password(); ok {
		secrets = append(secrets, password)
	}
	for _, secret := range secrets {
		if len(secret) > 1 {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}

// slackEscapes are those that Slack asks for in texts.
var slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// slackSigns make events easy to tell apart.
var slackSigns = map[Kind]string{Failure: ":red_circle: ", Recovery: ":large_green_circle: "}

func slackBody(e Event) []byte {
	text := slackSigns[e.Event] + slackEscapes.Replace(clip("partitiond on "+e.Host+": "+e.Text, maxText+500))
	body, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		return []byte("{}") // Strings can be encoded, always.
	}
	return body
}
