package hanshu;

import java.io.File;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The class loaders of a function: its own folder and jars, above them FunctionGraph's API and Java itself, and no worker. */
final class Loader {
    private Loader() {
    }

    /** The class path of a package: the folder, then the jars in it and in lib, by name. */
    static URLClassLoader of(File root) throws MalformedURLException {
        List<URL> path = new ArrayList<>();
        path.add(root.toURI().toURL());
        for (File folder : new File[] {root, new File(root, "lib")}) {
            File[] jars = folder.listFiles((dir, name) -> name.endsWith(".jar"));
            if (jars != null) {
                Arrays.sort(jars);
                for (File jar : jars) {
                    path.add(jar.toURI().toURL());
                }
            }
        }
        return new URLClassLoader(path.toArray(new URL[0]), new Api());
    }

    /** Shows the API's classes beside those of Java. */
    private static final class Api extends ClassLoader {
        private static final String[] PACKAGES = {
            "com.huawei.services.runtime.", "com.services.runtime.", "com.opentelekomcloud.services.runtime.",
        };

        Api() {
            super(ClassLoader.getSystemClassLoader().getParent());
        }

        @Override
        protected Class<?> findClass(String name) throws ClassNotFoundException {
            for (String prefix : PACKAGES) {
                if (name.startsWith(prefix)) {
                    return Class.forName(name, false, Loader.class.getClassLoader());
                }
            }
            throw new ClassNotFoundException(name);
        }
    }
}
