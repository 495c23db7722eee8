"""The doctor: compares everything a collection's folder holds with what it should hold, and rebuilds what can be.

    import crossfade as cf

    for finding in cf.doctor.examine("kb.cf"):
        print(finding)
    cf.doctor.repair("kb.cf")

It opens the folder by itself, beside whoever else holds it, because what it is asked about may not open otherwise.
"""

from .examine import examine
from .finding import Finding
from .repair import repair

__all__ = ["Finding", "examine", "repair"]
