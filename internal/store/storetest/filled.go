package storetest

import (
	"fmt"
	"reflect"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Filled makes a function in which every field, those that are yet to come included, holds something of its own: a field
// that a store forgets then shows.
func Filled() *faas.Function {
	f := new(faas.Function)
	number := 0
	fill(reflect.ValueOf(f).Elem(), &number)
	f.Revision = 1
	return f
}

func fill(v reflect.Value, number *int) {
	*number++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.UnixMicro(1_780_000_000_000_000 + int64(*number)).UTC()))
		return
	case time.Duration:
		v.SetInt(int64(time.Duration(*number) * time.Second))
		return
	case []byte:
		v.SetBytes([]byte{0, 0xff, byte(*number)})
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), number)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), number)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), number)
		fill(v.Index(1), number)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, number)
		fill(value, number)
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d <&> 函数 \u2028 \"", *number))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*number))
	default:
		panic("a kind of field that fill does not know: " + v.Type().String())
	}
}
