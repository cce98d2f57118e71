package sandbox

// SystemFolders are shown read-only as they are on the host: the interpreters and what they load.
func SystemFolders() []string {
	return []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}
}

// SystemFiles are the parts of /etc that interpreters need. Everything else of /etc stays outside.
func SystemFiles() []string {
	return []string{
		"/etc/alternatives", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/ca-certificates.conf", "/etc/ld.so.cache",
		"/etc/localtime", "/etc/mime.types", "/etc/protocols", "/etc/services",
	}
}

// MadeFiles are written for the sandbox.
func MadeFiles() [][2]string {
	return [][2]string{
		{"/etc/passwd", "root:x:0:0:root:/:/usr/sbin/nologin\nfunction:x:1003:1003:function:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"},
		{"/etc/group", "root:x:0:\nfunction:x:1003:\nnogroup:x:65534:\n"},
		{"/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"},
		{"/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
		{"/etc/resolv.conf", ResolverFile},
	}
}
