package sallyport

import (
	"testing"
	"time"
	_ "time/tzdata"
)

func TestWindowsAreReadAsTheyAreWritten(t *testing.T) {
	for _, test := range []struct {
		in, out string // out: "" where it cannot be read
		want    Window
	}{
		{"60/1m", "60/1m", Window{Max: 60, Length: time.Minute}},
		{"60/60s", "60/1m", Window{Max: 60, Length: time.Minute}},
		{"1/90s", "1/90s", Window{Max: 1, Length: 90 * time.Second}},
		{"1/1h30m", "1/90m", Window{Max: 1, Length: 90 * time.Minute}},
		{"9007199254740992/1y", "9007199254740992/365d", Window{Max: MaxRate, Length: 365 * 24 * time.Hour}},
		{"60/1m+15%", "60/1m+15%", Window{Max: 60, Length: time.Minute, Algorithm: Bucket, Burst: 15}},
		{"60/1m+0%", "60/1m+0%", Window{Max: 60, Length: time.Minute, Algorithm: Bucket}},
		{"5/10s sliding", "5/10s sliding", Window{Max: 5, Length: 10 * time.Second, Algorithm: Sliding}},
		{"5/day", "5/day", Window{Max: 5, Calendar: Day}},
		{"5/week", "5/week", Window{Max: 5, Calendar: Week}},
		{"5/month@Etc/GMT+5", "5/month@Etc/GMT+5", Window{Max: 5, Calendar: Month, Zone: "Etc/GMT+5"}},
		{in: ""}, {in: "60"}, {in: "/1m"}, {in: "0/1m"}, {in: "-1/1m"}, {in: "+1/1m"}, {in: "1.5/1m"},
		{in: "60/"}, {in: "60/0s"}, {in: "60/1"}, {in: "60/m"}, {in: "60/1x"}, {in: "60/1s1m"}, {in: "60/1ms"}, {in: "60/200y"},
		{in: "9007199254740993/1m"}, {in: "18446744073709551616/1m"},
		{in: "60/1m+15"}, {in: "60/1m+%"}, {in: "60/1m+1001%"}, {in: "60/1m+15% sliding"}, {in: "60/1m  sliding"},
		{in: "60/month@"}, {in: "60/month@a;b"}, {in: "60/month@a,b"}, {in: "60/month+5%"}, {in: "60/1m@UTC"}, {in: "60/year"},
	} {
		got, err := ParseWindow(test.in)
		switch {
		case test.out == "" && err == nil:
			t.Errorf("%q reads as %+v, want an error", test.in, got)
		case test.out != "" && (err != nil || got != test.want || got.String() != test.out):
			t.Errorf("%q reads as %+v (%v), printed %q; want %+v, printed %q", test.in, got, err, got, test.want, test.out)
		}
	}
}

// C4: a burst is rounded down, and never overflows.
func TestSizeOfABurst(t *testing.T) {
	for _, test := range []struct {
		max   uint64
		burst uint32
		want  uint64
	}{{60, 15, 69}, {20, 15, 23}, {300, 20, 360}, {1, 99, 1}, {3, 50, 4}, {MaxRate, MaxBurst, 11 * MaxRate}, {1<<64 - 1, 100, 1<<64 - 1}} {
		w := Window{Max: test.max, Burst: test.burst}
		if got := w.Size(); got != test.want {
			t.Errorf("%d with %d %%: %d at once, want %d", test.max, test.burst, got, test.want)
		}
	}
}

// Periods of the calendar are as long as they are where they are: also where
// clocks change, and where midnight does not exist.
func TestPeriodsOfTheCalendar(t *testing.T) {
	for _, test := range []struct {
		calendar        Calendar
		zone            string
		at, from, until string // RFC 3339
	}{
		{Day, "", "2026-11-22T10:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"},
		{Week, "", "2026-11-22T10:00:00Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"}, // a Sunday
		{Week, "", "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"}, // a Monday
		{Month, "", "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{Month, "Europe/Berlin", "2026-06-30T22:30:00Z", "2026-07-01T00:00:00+02:00", "2026-08-01T00:00:00+02:00"},
		{Day, "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"}, // 25 hours
		{Day, "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"}, // 23 hours
		{Day, "America/Santiago", "2026-09-06T12:00:00Z", "2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00"},
	} {
		zone, err := time.LoadLocation(test.zone)
		if err != nil {
			t.Fatal(err)
		}
		moment := func(s string) int64 {
			at, err := time.Parse(time.RFC3339, s)
			if err != nil {
				t.Fatal(err)
			}
			return at.Unix()
		}
		w := Window{Max: 1, Calendar: test.calendar}
		from, until := w.Period(moment(test.at), zone)
		if from != moment(test.from) || until != moment(test.until) {
			t.Errorf("%s of %s in %q: %v to %v, want %s to %s", test.calendar, test.at, test.zone,
				time.Unix(from, 0).In(zone), time.Unix(until, 0).In(zone), test.from, test.until)
		}
	}
}

// The law: what String writes reads back as the same window, also on its way
// between our two services.
func FuzzWindow(f *testing.F) {
	for _, s := range []string{"60/1m", "60/1m+15%", "5/10s sliding", "5/month@Europe/Berlin", "1/1h30m", "7/week"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w, err := ParseWindow(s)
		if err != nil {
			return
		}
		again, err := ParseWindow(w.String())
		if err != nil || again != w {
			t.Fatalf("%q reads as %+v, is printed as %q and read as %+v (%v)", s, w, w, again, err)
		}
		limit := &Limit{Name: "l"}
		text := string(AppendLimits(nil, []Charge{{Limit: limit, Windows: []Window{w, w}}}))
		var windows []Window
		charges, err := ParseLimits(nil, &windows, text, func(string) *Limit { return limit })
		if err != nil || len(charges) != 1 || len(charges[0].Windows) != 2 || charges[0].Windows[1] != w {
			t.Fatalf("%+v travels as %q and arrives as %+v (%v)", w, text, charges, err)
		}
	})
}

// The zero value denies, also on its way: a limit without windows for a plan
// arrives as one that allows nothing.
func TestALimitWithoutWindowsTravels(t *testing.T) {
	limits := map[string]*Limit{"none": {Name: "none"}, "some": {Name: "some"}}
	sent := []Charge{{Limit: limits["none"]}, {Limit: limits["some"], Windows: []Window{{Max: 5, Length: time.Minute}}}}
	var windows []Window
	got, err := ParseLimits(nil, &windows, string(AppendLimits(nil, sent)), func(name string) *Limit { return limits[name] })
	if err != nil || len(got) != 2 || got[0].Limit != limits["none"] || len(got[0].Windows) != 0 || len(got[1].Windows) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Whose own word counts: the credential's before its tenant's before the plan's.
func TestWhoseWindowsHold(t *testing.T) {
	window := func(n uint64) Windows { return Windows{List: []Window{{Max: n, Length: time.Minute}}} }
	api := &API{Limits: []*Limit{
		{Name: "requests", Plans: map[string]Windows{"free": window(1), "gold": window(2), "custom": {FromTenant: true}, "all": {Unlimited: true}}},
		{Name: "slots", Concurrency: 5},
	}}
	tenant := func(plan string, own map[string]Windows) *Tenant {
		return &Tenant{Plan: plan, Overrides: own, Limits: map[string][]Window{"requests": window(7).List}}
	}
	for name, test := range map[string]struct {
		c    Credential
		want uint64 // 0: unlimited
	}{
		"the tenant's plan":         {Credential{Tenant: tenant("free", nil)}, 1},
		"the key's own plan":        {Credential{Tenant: tenant("free", nil), Plan: "gold"}, 2},
		"the tenant's own windows":  {Credential{Tenant: tenant("custom", nil)}, 7},
		"an override of the tenant": {Credential{Tenant: tenant("free", map[string]Windows{"requests": window(3)}), Plan: "gold"}, 3},
		"an override of the key":    {Credential{Tenant: tenant("free", map[string]Windows{"requests": window(3)}), Overrides: map[string]Windows{"requests": window(4)}}, 4},
		"unlimited by plan":         {Credential{Tenant: tenant("all", nil)}, 0},
		"unlimited by override":     {Credential{Tenant: tenant("free", nil), Overrides: map[string]Windows{"requests": {Unlimited: true}}}, 0},
	} {
		charges := api.AppendCharges(nil, nil, &test.c)
		got := uint64(0)
		if len(charges) == 1 {
			got = charges[0].Windows[0].Max
		}
		if got != test.want || len(charges) > 1 {
			t.Errorf("%s: %+v, want a maximum of %d", name, charges, test.want)
		}
		if slots := api.AppendSlots(nil, nil, &test.c); len(slots) != 1 || slots[0].Name != "slots" {
			t.Errorf("%s: slots %+v", name, slots)
		}
	}
	// A plan that the limit does not know gets windows of nothing, not no limit.
	if charges := api.AppendCharges(nil, nil, &Credential{Tenant: tenant("unknown", nil)}); len(charges) != 1 || len(charges[0].Windows) != 0 {
		t.Errorf("an unknown plan: %+v", charges)
	}
}

// G12: attributes are conditions and keys of limits, and no value can pass for
// two.
func TestLimitsByAttribute(t *testing.T) {
	api := &API{
		PerAttributes: []string{"team", "region"},
		Limits: []*Limit{
			{Name: "team", Per: []string{"attribute team"}},
			{Name: "blue", Per: []string{"tenant"}, When: When{Attributes: []AttributeIs{{"team", []string{"blue"}}}}},
			{Name: "homeless", Per: []string{"tenant"}, When: When{Attributes: []AttributeIs{{"team", []string{""}}}}},
		},
	}
	names := func(c *Credential) (names string) {
		for _, charge := range api.AppendCharges(nil, nil, c) {
			names += charge.Limit.Name + " "
		}
		return names
	}
	tenant := &Tenant{Attributes: map[string]string{"team": "red"}}
	for want, c := range map[string]*Credential{
		"team ":      {Tenant: tenant},
		"team blue ": {Tenant: tenant, Attributes: map[string]string{"team": "blue"}},
		"homeless ":  {Tenant: &Tenant{}},
	} {
		if got := names(c); got != want {
			t.Errorf("limits %q, want %q", got, want)
		}
	}
	tricky := &Credential{Tenant: &Tenant{}, Attributes: map[string]string{"team": "a;region=b%3B", "region": ""}}
	s := Subject{Attributes: string(api.AppendAttributes(nil, tricky))}
	if got := s.Value("attribute region"); got != "" {
		t.Errorf("a team called %q has region %q", tricky.Attributes["team"], got)
	}
	other := &Credential{Tenant: &Tenant{}, Attributes: map[string]string{"team": "a;region=b;"}}
	if o := (Subject{Attributes: string(api.AppendAttributes(nil, other))}); o.Value("attribute team") == s.Value("attribute team") {
		t.Error("two teams share a name")
	}
}
