package hot

import "testing"

func TestIDText(t *testing.T) {
	id := MakeID(0x0a0b0c, 0x0102030405)
	if got, want := id.String(), "0a0b0c0102030405"; got != want {
		t.Fatalf("text is %s, want %s", got, want)
	}
	if id.Epoch() != 0x0a0b0c || id.Counter() != 0x0102030405 {
		t.Fatalf("epoch %x, counter %x", id.Epoch(), id.Counter())
	}
	back, err := ParseID(id.String())
	if err != nil || back != id {
		t.Fatalf("parsed %v, %v", back, err)
	}
	if MakeID(1, MaxCounter) >= MakeID(2, 0) {
		t.Fatal("an older epoch sorts behind a newer one")
	}
	for _, bad := range []string{"", "1", "0A0b0c0102030405", "0a0b0c010203040", "0a0b0c01020304056", "0a0b0c010203040g", "+a0b0c0102030405"} {
		if id, err := ParseID(bad); err == nil {
			t.Errorf("%q parsed as %v", bad, id)
		}
	}
	if got, ok := ParseFileName(FileName(id)); !ok || got != id {
		t.Fatalf("file name gives %v, %v", got, ok)
	}
	for _, bad := range []string{"0a0b0c0102030405", "x.hot", FileName(id) + TempSuffix} {
		if _, ok := ParseFileName(bad); ok {
			t.Errorf("%q taken for a generation's file", bad)
		}
	}
}

func TestIDRefusesWhatDoesNotFit(t *testing.T) {
	for _, f := range []func(){
		func() { MakeID(MaxEpoch+1, 0) },
		func() { MakeID(0, MaxCounter+1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("an ID was made that another thing may have")
				}
			}()
			f()
		}()
	}
}
