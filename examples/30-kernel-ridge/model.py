"""Classify the handwritten digits that scikit-learn ships by kernel ridge regression on prepared images."""

import argparse

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--contrast", type=float, default=1.0, help="exponent of the brightness")
parser.add_argument("--blur", type=float, default=0.1, help="radius of a Gaussian filter, in pixels")
parser.add_argument("--components", type=int, default=30, help="principal components that are kept, of 64 pixels")
parser.add_argument("--whitening", type=float, default=0.5, help="0: components as they are, 1: of the same variance")
parser.add_argument("--gamma", type=float, default=0.1, help="inverse width of the Gaussian kernel")
parser.add_argument("--alpha", type=float, default=0.1, help="strength of the regularisation")
options = parser.parse_args()

pixels, digits = load_digits(return_X_y=True)
images = (pixels / 16).reshape(-1, 8, 8) ** options.contrast
images = gaussian_filter(images, (0, options.blur, options.blur)).reshape(-1, 64)
train, test, answers, truth = train_test_split(images, digits, test_size=0.4, random_state=0, stratify=digits)

pca = PCA(options.components, random_state=0).fit(train)
deviations = pca.singular_values_ + 1e-3 * pca.singular_values_[0]
train, test = (pca.transform(part) / deviations**options.whitening for part in (train, test))
size = np.sqrt((train**2).sum(axis=1).mean())  # so that gamma means the same for all of them

model = KernelRidge(kernel="rbf", gamma=options.gamma, alpha=options.alpha)
model.fit(train / size, np.eye(10)[answers])
scores = model.predict(test / size)
print(f"accuracy: {(scores.argmax(axis=1) == truth).mean():.4f}")
print(f"loss: {((scores - np.eye(10)[truth]) ** 2).sum(axis=1).mean():.4f}")
