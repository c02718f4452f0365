"""A scattering transform inside a scikit-learn pipeline: its parameters chosen by cross-validation.

    python examples/pipeline.py

The transformer is a step like any other. Its parameters are searched like any other's, it can be cloned, and it names
its features. Here rows of 64 pixels, 8 x 8, go in; how far to average (J) and how many wavelets in a row (max_order)
are chosen among the training digits. The test digits are a quarter, and used for the scores at the end.
"""

from __future__ import annotations

from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import f_classif
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from scatc.sklearn import Scattering2D

images, digits = load_digits(return_X_y=True)
x, x_test, y, y_test = train_test_split(images, digits, test_size=0.25, random_state=0, stratify=digits)

pipeline = Pipeline(
    [
        ("scattering", Scattering2D(shape=(8, 8))),
        ("scale", StandardScaler()),
        ("classify", LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")),
    ]
)
grid = [
    {"scattering__J": [1], "scattering__max_order": [1]},  # a second wavelet is a coarser one: there is none
    {"scattering__J": [2, 3], "scattering__max_order": [1, 2]},
]
search = GridSearchCV(pipeline, grid, cv=3).fit(x, y)

print("averaged over  orders  digits right in cross-validation")
for tried, share in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
    width, order = 2 ** tried["scattering__J"], tried["scattering__max_order"]
    print(f"{width} x {width} pixels   {order}       {share:.1%}")

# The more is averaged away, the more of it the second order gives back. With 8 x 8 pixels there is no need to.
best = search.best_estimator_
names = best[:-1].get_feature_names_out()
telling, _ = f_classif(best[:-1].transform(x), y)
print(f"chosen: {search.best_params_}, {len(names)} features")
print(f"those that tell digits apart best: {', '.join(names[telling.argsort()[:-4:-1]])}")

few = clone(best).fit(x[:200], y[:200])
print(f"learnt from 200 digits   {few.score(x_test, y_test):.1%} of test digits right")
print(f"learnt from {len(x)} digits  {search.score(x_test, y_test):.1%}")
assert search.score(x_test, y_test) >= 0.98, "the promise of this example"
