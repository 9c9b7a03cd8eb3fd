package envoy

import (
	"testing"

	"github.com/sallyport/sallyport"
)

func TestAnAPIThatAnswersAsAllDoNeedsNoMappersOfItsOwn(t *testing.T) {
	p := policy()
	b := builder{options: Options{Render: plainBody}}
	if !sameAnswers(b.replies(p.APIs[0]), b.replies(nil)) {
		t.Error("orders: answers differ, though nothing is configured")
	}
	p.APIs[0].Response(sallyport.KindTooLarge).Status = 400
	if sameAnswers(b.replies(p.APIs[0]), b.replies(nil)) {
		t.Error("orders: a status of its own was lost")
	}
}
