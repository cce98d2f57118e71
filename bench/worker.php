// The floor's worker: one frame in, one frame out, over file descriptor 3. A frame is a length of four bytes, big-endian,
// and that much JSON.
ini_set('default_socket_timeout', '-1'); // a minute without calls is no end of the stream
$control = fopen('php://fd/3', 'r+b');
stream_set_read_buffer($control, 0);
stream_set_write_buffer($control, 0);

function frame($control)
{
    $data = '';
    do {
        $more = fread($control, 1 << 16);
        if ($more === '' || $more === false) {
            exit(0);
        }
        $data .= $more;
    } while (strlen($data) < 4 || strlen($data) < 4 + unpack('N', $data)[1]);
    return substr($data, 4);
}

$handler = function ($event) { return $event; };

for (;;) {
    $text = json_encode($handler(json_decode(frame($control))));
    fwrite($control, pack('N', strlen($text)) . $text);
}
